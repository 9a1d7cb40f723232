package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	mdns "github.com/miekg/dns"
)

// nsdConfig: one server process is enough for two cores; response rate limiting is on by default in Debian's build
// and answers 1,750 questions a second; everything stays in the given folder, without privileges.
const nsdConfig = `server:
  server-count: 1
  ip-address: 127.0.0.1@%[2]d
  username: ""
  chroot: ""
  database: ""
  zonesdir: "%[1]s"
  zonelistfile: "%[1]s/zone.list"
  xfrdfile: "%[1]s/xfrd.state"
  xfrdir: "%[1]s"
  pidfile: "%[1]s/nsd.pid"
  rrl-ratelimit: 0
  rrl-whitelist-ratelimit: 0
remote-control:
  control-enable: no
zone:
  name: %[3]s
  zonefile: zone
`

// find gives the path of a tool, also where Debian keeps servers; an error says what brings it.
func find(tool string) (string, error) {
	for _, name := range []string{tool, "/usr/sbin/" + tool} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s is missing (Debian: apt-get install nsd dnsperf)", tool)
}

// serve starts nsd on a free port of 127.0.0.1 and waits until it answers for the zone.
func serve(ctx context.Context, folder string) (address string, stop func(), err error) {
	nsd, err := find("nsd")
	if err != nil {
		return "", nil, err
	}
	port, err := freePort(ctx)
	if err != nil {
		return "", nil, err
	}
	config := filepath.Join(folder, "nsd.conf")
	if err := os.WriteFile(config, fmt.Appendf(nil, nsdConfig, folder, port, zone), 0o600); err != nil {
		return "", nil, err
	}
	var log bytes.Buffer
	server := exec.CommandContext(ctx, nsd, "-d", "-c", config)
	server.Stdout, server.Stderr = &log, &log
	server.Cancel = func() error { return server.Process.Signal(os.Interrupt) } // its children end with it
	server.WaitDelay = 5 * time.Second
	if err := server.Start(); err != nil {
		return "", nil, fmt.Errorf("starting nsd: %w", err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = server.Wait() // how it ended shows in its log
	}()
	stop = func() {
		_ = server.Process.Signal(os.Interrupt)
		<-ended
	}
	address = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	if err := awaitZone(ctx, address, ended); err != nil {
		stop()
		return "", nil, fmt.Errorf("nsd does not answer: %w\n%s", err, log.String())
	}
	return address, stop, nil
}

func awaitZone(ctx context.Context, address string, ended <-chan struct{}) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	client := mdns.Client{Timeout: time.Second}
	query := new(mdns.Msg).SetQuestion(zone+".", mdns.TypeSOA)
	for {
		answer, _, err := client.ExchangeContext(ctx, query, address)
		if err == nil && answer.Rcode == mdns.RcodeSuccess && len(answer.Answer) == 1 {
			return nil
		}
		select {
		case <-ended:
			return fmt.Errorf("it ended")
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func freePort(ctx context.Context) (int, error) {
	var listen net.ListenConfig
	conn, err := listen.ListenPacket(ctx, "udp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer func() { _ = conn.Close() }()
	return conn.LocalAddr().(*net.UDPAddr).Port, nil
}

// dnsperf asks every question once, as the fastest client at hand does, and gives its rate and what it lost. It
// checks no answer.
func dnsperf(ctx context.Context, path, address, queries string) (rate, lost float64, err error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return 0, 0, err
	}
	out, err := exec.CommandContext(ctx, path, "-s", host, "-p", port, "-d", queries, "-n", "1",
		"-c", "4", "-T", "1", "-q", "256", "-e", "-t", "3").CombinedOutput()
	if err != nil {
		return 0, 0, fmt.Errorf("dnsperf: %w\n%s", err, out)
	}
	if rate, err = figure(out, "Queries per second:"); err == nil {
		lost, err = figure(out, "Queries lost:")
	}
	return rate, lost, err
}

func figure(out []byte, label string) (float64, error) {
	_, rest, found := strings.Cut(string(out), label)
	fields := strings.Fields(rest)
	if !found || len(fields) == 0 {
		return 0, fmt.Errorf("dnsperf did not print %q:\n%s", label, out)
	}
	return strconv.ParseFloat(fields[0], 64)
}
