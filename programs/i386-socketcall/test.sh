#!/bin/bash
# A freestanding 32-bit program that makes every call through int 0x80 and socketcall(2), all twenty of them.
. "$(dirname "$0")/../lib/outer.sh"
need gcc gcc
gcc -m32 -O1 -Wall -Wextra -Werror -ffreestanding -fno-stack-protector -fno-pic -no-pie -nostdlib -static \
    -o "$WORK/socketcall" "$HERE/socketcall.c"
run 30
