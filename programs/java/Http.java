import com.sun.net.httpserver.HttpServer;
import java.io.ByteArrayOutputStream;
import java.net.DatagramPacket;
import java.net.DatagramSocket;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.SocketTimeoutException;
import java.net.StandardProtocolFamily;
import java.net.URI;
import java.net.UnixDomainSocketAddress;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.ByteBuffer;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;

/** Http PORT PATH: servers and clients in one process; prints "ok". */
class Http {
    static final byte[] BLOB = new byte[2_000_000];

    public static void main(String[] args) throws Exception {
        try {
            new Random(1).nextBytes(BLOB);
            http(Integer.parseInt(args[0]));
            blocking();
            channels(Path.of(args[1]));
            datagrams();
            System.out.println("ok");
        } catch (Throwable e) {
            e.printStackTrace();
            System.exit(1); // threads of the parts that failed would keep the program alive
        }
    }

    static void check(boolean right, String what) {
        if (!right) throw new AssertionError(what);
    }

    static void http(int port) throws Exception {
        HttpServer server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), port), 50);
        ExecutorService threads = Executors.newFixedThreadPool(8);
        server.setExecutor(threads);
        server.createContext("/echo", exchange -> {
            byte[] body = exchange.getRequestBody().readAllBytes();
            exchange.sendResponseHeaders(200, body.length);
            try (var out = exchange.getResponseBody()) {
                out.write(body);
            }
        });
        server.start();
        HttpClient client = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).connectTimeout(Duration.ofSeconds(10)).build();
        URI uri = URI.create("http://127.0.0.1:" + port + "/echo");
        List<CompletableFuture<HttpResponse<byte[]>>> all = new ArrayList<>();
        for (int i = 0; i < 60; i++) {
            HttpRequest request = HttpRequest.newBuilder(uri).timeout(Duration.ofSeconds(30))
                    .POST(HttpRequest.BodyPublishers.ofByteArray(i % 20 == 0 ? BLOB : ("request " + i).getBytes())).build();
            all.add(client.sendAsync(request, HttpResponse.BodyHandlers.ofByteArray()));
        }
        for (int i = 0; i < all.size(); i++) {
            HttpResponse<byte[]> response = all.get(i).get();
            check(response.statusCode() == 200, "status");
            check(Arrays.equals(response.body(), i % 20 == 0 ? BLOB : ("request " + i).getBytes()), "body " + i);
        }
        server.stop(0);
        threads.shutdown();
    }

    /** java.net: a read that times out, a half-close, a close that wakes a blocked accept. */
    static void blocking() throws Exception {
        try (ServerSocket listener = new ServerSocket(0, 5, InetAddress.getByName("127.0.0.1"))) {
            Socket client = new Socket(listener.getInetAddress(), listener.getLocalPort());
            Socket server = listener.accept();
            check(server.getPort() == client.getLocalPort(), "ports");
            client.setSoTimeout(200);
            client.setTcpNoDelay(true);
            client.setKeepAlive(true);
            long from = System.nanoTime();
            try {
                client.getInputStream().read();
                check(false, "read something");
            } catch (SocketTimeoutException expected) {
                check(System.nanoTime() - from >= 190_000_000L, "too early");
            }
            client.setSoTimeout(0);
            Thread sender = new Thread(() -> {
                try {
                    server.getOutputStream().write(BLOB);
                    server.shutdownOutput();
                } catch (Exception e) {
                    throw new RuntimeException(e);
                }
            });
            sender.start();
            check(Arrays.equals(client.getInputStream().readAllBytes(), BLOB), "bytes");
            sender.join();
            client.getOutputStream().write(7);
            check(server.getInputStream().read() == 7, "the other direction");
            client.close();
            check(server.getInputStream().read() == -1, "end");
            server.close();
        }
        ServerSocket listener = new ServerSocket(0);
        CompletableFuture<String> ended = CompletableFuture.supplyAsync(() -> {
            try {
                listener.accept();
                return "accepted";
            } catch (Exception e) {
                return e.getMessage();
            }
        });
        Thread.sleep(200);
        listener.close();
        check(ended.get().equals("Socket closed"), "a closed listener's accept: " + ended.get());
    }

    /** java.nio: a selector (epoll) serving a unix socket and TCP, non-blocking. */
    static void channels(Path path) throws Exception {
        try (Selector selector = Selector.open();
                ServerSocketChannel unix = ServerSocketChannel.open(StandardProtocolFamily.UNIX);
                ServerSocketChannel tcp = ServerSocketChannel.open()) {
            unix.bind(UnixDomainSocketAddress.of(path));
            tcp.bind(new InetSocketAddress("127.0.0.1", 0));
            for (ServerSocketChannel one : List.of(unix, tcp)) {
                one.configureBlocking(false);
                one.register(selector, SelectionKey.OP_ACCEPT);
            }
            List<CompletableFuture<Boolean>> clients = new ArrayList<>();
            for (int i = 0; i < 10; i++) {
                var address = i % 2 == 0 ? UnixDomainSocketAddress.of(path) : tcp.getLocalAddress();
                clients.add(CompletableFuture.supplyAsync(() -> {
                    try (SocketChannel channel = SocketChannel.open(address)) {
                        Thread writer = new Thread(() -> {
                            try {
                                ByteBuffer out = ByteBuffer.wrap(BLOB);
                                while (out.hasRemaining()) channel.write(out);
                                channel.shutdownOutput();
                            } catch (Exception e) {
                                throw new RuntimeException(e);
                            }
                        });
                        writer.start();
                        ByteArrayOutputStream back = new ByteArrayOutputStream();
                        ByteBuffer in = ByteBuffer.allocate(100_000);
                        while (channel.read(in.clear()) >= 0) back.write(in.array(), 0, in.position());
                        writer.join();
                        return Arrays.equals(back.toByteArray(), BLOB);
                    } catch (Exception e) {
                        throw new RuntimeException(e);
                    }
                }, command -> new Thread(command).start()));
            }
            int ended = 0;
            while (ended < clients.size()) {
                check(selector.select(20_000) > 0, "nothing happened for 20 s");
                for (SelectionKey key : selector.selectedKeys()) {
                    if (key.isAcceptable()) {
                        SocketChannel channel = ((ServerSocketChannel) key.channel()).accept();
                        if (channel == null) continue;
                        channel.configureBlocking(false);
                        channel.register(selector, SelectionKey.OP_READ, ByteBuffer.allocate(65536));
                        continue;
                    }
                    SocketChannel channel = (SocketChannel) key.channel();
                    ByteBuffer buffer = (ByteBuffer) key.attachment();
                    if (key.isReadable() && channel.read(buffer) < 0 && buffer.position() == 0) {
                        channel.close();
                        ended++;
                        continue;
                    }
                    buffer.flip();
                    channel.write(buffer);
                    buffer.compact();
                    key.interestOps((buffer.hasRemaining() ? SelectionKey.OP_READ : 0)
                            | (buffer.position() > 0 ? SelectionKey.OP_WRITE : 0));
                }
                selector.selectedKeys().clear();
            }
            for (var client : clients) check(client.get(), "what came back differs");
        }
        Files.delete(path);
    }

    static void datagrams() throws Exception {
        for (String host : List.of("127.0.0.1", "::1")) {
            try (DatagramSocket a = new DatagramSocket(0, InetAddress.getByName(host));
                    DatagramSocket b = new DatagramSocket(0, InetAddress.getByName(host))) {
                a.setSoTimeout(10_000);
                b.send(new DatagramPacket("datagram".getBytes(), 8, a.getLocalSocketAddress()));
                DatagramPacket got = new DatagramPacket(new byte[100], 100);
                a.receive(got);
                check(new String(got.getData(), 0, got.getLength()).equals("datagram"), "datagram");
                check(got.getPort() == b.getLocalPort(), "sender's port");
            }
        }
    }
}
