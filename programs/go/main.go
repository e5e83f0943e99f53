// program PORT PATH: servers and clients in one process, prints "ok"; program serve PORT; program fetch URL.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"net"
	"net/http"
	"os"
	"sync"
	"syscall"
	"time"
)

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func want(right bool, what string) {
	if !right {
		panic(what)
	}
}

var handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	check(err)
	if len(body) > 0 {
		_, _ = w.Write(body)
	} else {
		fmt.Fprintf(w, "%s %s", r.Method, r.URL.Path)
	}
})

func main() {
	switch os.Args[1] {
	case "serve":
		check(http.ListenAndServe("127.0.0.1:"+os.Args[2], handler))
	case "fetch":
		response, err := http.Get(os.Args[2])
		check(err)
		_, err = io.Copy(os.Stdout, response.Body)
		check(err)
		return
	}
	port, path := os.Args[1], os.Args[2]
	web("tcp", "127.0.0.1:"+port)
	web("tcp", "[::1]:"+port)
	web("unix", path)
	_, err := os.Stat(path)
	want(errors.Is(err, os.ErrNotExist), "the socket file is still there")
	deadlines()
	datagrams("udp4", "127.0.0.1:0")
	datagrams("udp6", "[::1]:0")
	refused(port)
	fmt.Println("ok")
}

func web(network, address string) {
	listener, err := net.Listen(network, address)
	check(err)
	server := &http.Server{Handler: handler}
	go func() { _ = server.Serve(listener) }()
	client := http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, address)
		},
		MaxIdleConnsPerHost: 16,
	}}
	blob := make([]byte, 3000000)
	rand.New(rand.NewSource(1)).Read(blob)
	var all sync.WaitGroup
	for i := 0; i < 64; i++ {
		all.Add(1)
		go func(i int) {
			defer all.Done()
			for n := 0; n < 10; n++ {
				body := []byte(fmt.Sprintf("request %d of %d", n, i))
				if i%16 == 0 && n == 0 {
					body = blob
				}
				response, err := client.Post("http://host/", "text/plain", bytes.NewReader(body))
				check(err)
				back, err := io.ReadAll(response.Body)
				check(err)
				response.Body.Close()
				want(bytes.Equal(body, back), "what came back differs")
			}
		}(i)
	}
	all.Wait()
	check(server.Shutdown(context.Background()))
}

// A read that meets its deadline, one that a close from another goroutine ends, a half-close.
func deadlines() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	client, err := net.Dial("tcp", listener.Addr().String())
	check(err)
	server, err := listener.Accept()
	check(err)
	want(server.RemoteAddr().String() == client.LocalAddr().String(), "addresses")
	check(client.SetReadDeadline(time.Now().Add(100 * time.Millisecond)))
	_, err = client.Read(make([]byte, 1))
	want(errors.Is(err, os.ErrDeadlineExceeded), "deadline")
	check(client.SetReadDeadline(time.Time{}))
	check(client.(*net.TCPConn).CloseWrite())
	n, err := server.Read(make([]byte, 1))
	want(n == 0 && err == io.EOF, "end")
	_, err = server.Write([]byte("late"))
	check(err)
	buffer := make([]byte, 10)
	n, err = client.Read(buffer)
	check(err)
	want(string(buffer[:n]) == "late", "after the half-close")
	go func() {
		time.Sleep(50 * time.Millisecond)
		client.Close()
	}()
	_, err = client.Read(buffer)
	want(errors.Is(err, net.ErrClosed), "a closed connection's read")
	server.Close()
	listener.Close()
}

func datagrams(network, address string) {
	a, err := net.ListenPacket(network, address)
	check(err)
	b, err := net.Dial(network, a.LocalAddr().String())
	check(err)
	_, err = b.Write([]byte("datagram"))
	check(err)
	buffer := make([]byte, 100)
	n, from, err := a.ReadFrom(buffer)
	check(err)
	want(string(buffer[:n]) == "datagram" && from.String() == b.LocalAddr().String(), "datagram")
	_, err = a.WriteTo([]byte("answer"), from)
	check(err)
	n, err = b.Read(buffer)
	check(err)
	want(string(buffer[:n]) == "answer", "answer")
	a.Close()
	b.Close()
}

func refused(port string) {
	_, err := net.Dial("tcp", "127.0.0.1:"+port)
	want(errors.Is(err, syscall.ECONNREFUSED), "refused")
}
