package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
)

// answerFlag makes this program the answerer. It is a process of its own, so that its work is no client's.
const answerFlag = "-answer"

// answer is the answerer: it prints its address, and sends the same bytes after each request, as cheaply as can be.
// It ends when its standard input does.
func answer() error {
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // listening does not wait
	if err != nil {
		return err
	}
	b := body()
	bytes := append(fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: application/rdap+json\r\nContent-Length: %d\r\n\r\n", len(b)), b...)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go answerAll(conn, bytes)
		}
	}()
	fmt.Println(listener.Addr())
	_, _ = os.Stdin.Read(make([]byte, 1))
	return listener.Close()
}

// answerAll sends the answer after each empty line.
func answerAll(conn net.Conn, bytes []byte) {
	defer func() { _ = conn.Close() }()
	in := bufio.NewReader(conn)
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return
		}
		if len(line) > 2 {
			continue
		}
		if _, err := conn.Write(bytes); err != nil {
			return
		}
	}
}

// startAnswerer starts this program again as the answerer.
func startAnswerer(ctx context.Context) (address string, stop func(), err error) {
	self, err := os.Executable()
	if err != nil {
		return "", nil, err
	}
	process := exec.CommandContext(ctx, self, answerFlag)
	process.Stderr = os.Stderr
	hold, err := process.StdinPipe()
	if err != nil {
		return "", nil, err
	}
	out, err := process.StdoutPipe()
	if err != nil {
		return "", nil, err
	}
	if err := process.Start(); err != nil {
		return "", nil, fmt.Errorf("starting the answerer: %w", err)
	}
	stop = func() {
		_ = hold.Close()
		_ = process.Wait() // it ends with its input
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		stop()
		return "", nil, errors.New("the answerer did not start")
	}
	return strings.TrimSpace(line), stop, nil
}
