//! What an emulator does: an i386 guest makes its socket calls through socketcall(2).
//!
//! `cargo run -p switchboard --example emulator`
//!
//! The guest's memory is an array of bytes. In it lie, as a C compiler for i386 lays them out, the
//! arguments, addresses, buffers and message headers; the emulator passes `eax`, `ebx` and `ecx` on.

use switchboard::{Arch, GuestMemory, Net};

/// System call 102 of i386.
const SYS_SOCKETCALL: u32 = 102;
// Calls of socketcall(2), from <linux/net.h>.
const SYS_SOCKET: u32 = 1;
const SYS_BIND: u32 = 2;
const SYS_CONNECT: u32 = 3;
const SYS_LISTEN: u32 = 4;
const SYS_ACCEPT: u32 = 5;
const SYS_SEND: u32 = 9;
const SYS_RECVMSG: u32 = 17;

// Where things lie in the guest.
const ARGS: u32 = 0x0804_a000;
const ADDR: u32 = 0x0804_a100;
const TEXT: u32 = 0x0804_a200;
const MSGHDR: u32 = 0x0804_a300;
const IOVEC: u32 = 0x0804_a380;
const BUFFER: u32 = 0x0804_a400;

fn main() -> std::io::Result<()> {
    let net = Net::real_time()?;
    let host = net.host("guest").build()?;
    let process = host
        .process_builder()
        .arch(Arch::I386)
        .user(1000, 1000)
        .build();
    let mut memory = GuestMemory::new(u64::from(ARGS), 0x1000);

    // int $0x80 with eax = 102, ebx = call, ecx = args.
    let socketcall = |memory: &mut GuestMemory, call: u32, args: &[u32]| {
        let block: Vec<u8> = args.iter().flat_map(|arg| arg.to_le_bytes()).collect();
        store(memory, ARGS, &block);
        let registers = [u64::from(call), u64::from(ARGS), 0, 0, 0, 0];
        let eax = process.syscall(SYS_SOCKETCALL, registers, memory);
        println!("socketcall({call:2}, {args:x?}) = {eax}");
        eax as u32
    };

    // struct sockaddr_in: AF_INET, port 8080, 127.0.0.1.
    store(
        &mut memory,
        ADDR,
        &[2, 0, 0x1f, 0x90, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0],
    );
    store(&mut memory, TEXT, b"from a 32-bit guest");
    // struct msghdr { name, namelen, iov, iovlen, control, controllen, flags }, all 32 bits wide.
    let msghdr: Vec<u8> = [0, 0, IOVEC, 1, 0, 0, 0]
        .iter()
        .flat_map(|word: &u32| word.to_le_bytes())
        .collect();
    store(&mut memory, MSGHDR, &msghdr);
    let iovec: Vec<u8> = [BUFFER, 64]
        .iter()
        .flat_map(|word: &u32| word.to_le_bytes())
        .collect();
    store(&mut memory, IOVEC, &iovec);

    let listener = socketcall(&mut memory, SYS_SOCKET, &[2, 1, 0]);
    let _ = socketcall(&mut memory, SYS_BIND, &[listener, ADDR, 16]);
    let _ = socketcall(&mut memory, SYS_LISTEN, &[listener, 5]);
    let client = socketcall(&mut memory, SYS_SOCKET, &[2, 1, 0]);
    let _ = socketcall(&mut memory, SYS_CONNECT, &[client, ADDR, 16]);
    let server = socketcall(&mut memory, SYS_ACCEPT, &[listener, 0, 0]);
    let _ = socketcall(&mut memory, SYS_SEND, &[client, TEXT, 19, 0]);
    let n = socketcall(&mut memory, SYS_RECVMSG, &[server, MSGHDR, 0]);
    let got = memory
        .get(u64::from(BUFFER), n as usize)
        .expect("within the guest");
    println!("received: {:?}", String::from_utf8_lossy(got));

    // A wild pointer is the guest's trouble: -14 is EFAULT.
    let _ = socketcall(&mut memory, SYS_CONNECT, &[client, 0xdead_0000, 16]);
    // Port 80 is not for user 1000: -13 is EACCES.
    store(&mut memory, ADDR, &[2, 0, 0, 80]);
    let other = socketcall(&mut memory, SYS_SOCKET, &[2, 1, 0]);
    let _ = socketcall(&mut memory, SYS_BIND, &[other, ADDR, 16]);
    Ok(())
}

fn store(memory: &mut GuestMemory, at: u32, bytes: &[u8]) {
    let place = memory
        .get_mut(u64::from(at), bytes.len())
        .expect("within the guest");
    place.copy_from_slice(bytes);
}
