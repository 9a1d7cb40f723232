package main

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"

	tripwire "github.com/lapseguard/lapseguard/shared/source/dns"
)

// zone is the name of the zone that is served; "example" is reserved (RFC 2606).
const zone = "example"

// question is one name, and the name servers that it is delegated to; none: there is no such name.
type question struct {
	name string
	want []string // sorted
}

// questions are those for n delegations, of 2 to 4 name servers each, every fifth below the delegated name with
// glue, and for a ninth as many names that do not exist, in an order that is always the same.
func questions(n int) []question {
	list := make([]question, 0, n+n/9)
	for i := range n {
		q := question{name: fmt.Sprintf("d%06d.%s", i, zone)}
		for k := range 2 + i%3 {
			host := fmt.Sprintf("ns%d.p%02d.example.net", k+1, i%97)
			if i%5 == 0 {
				host = fmt.Sprintf("ns%d.%s", k+1, q.name)
			}
			q.want = append(q.want, host)
		}
		list = append(list, q)
	}
	for i := range n / 9 {
		list = append(list, question{name: fmt.Sprintf("gone%06d.%s", i, zone)})
	}
	random := rand.New(rand.NewPCG(1, 2))
	random.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list
}

// asked are the questions in the product's form.
func asked(list []question) []tripwire.Question {
	out := make([]tripwire.Question, len(list))
	for i, q := range list {
		out[i] = tripwire.Question{Name: q.name, Suffix: zone}
	}
	return out
}

// writeZone writes the zone file.
func writeZone(path string, list []question) error {
	return write(path, func(out *bufio.Writer) {
		fmt.Fprintf(out, "$ORIGIN %s.\n$TTL 3600\n@ SOA ns.%[1]s. hostmaster.%[1]s. 1 1800 900 604800 86400\n@ NS ns.%[1]s.\nns A 127.0.0.1\n", zone)
		for _, q := range list {
			for _, host := range q.want {
				fmt.Fprintf(out, "%s. NS %s.\n", q.name, host)
				if strings.HasSuffix(host, q.name) {
					fmt.Fprintf(out, "%s. A 192.0.2.1\n", host)
				}
			}
		}
	})
}

// writeQueries writes dnsperf's input.
func writeQueries(path string, list []question) error {
	return write(path, func(out *bufio.Writer) {
		for _, q := range list {
			fmt.Fprintf(out, "%s NS\n", q.name)
		}
	})
}

func write(path string, fill func(*bufio.Writer)) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(file)
	fill(out)
	if err := out.Flush(); err != nil {
		_ = file.Close()
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return file.Close()
}

// same compares sorted name servers.
func (q question) same(hosts []string) bool { return slices.Equal(q.want, hosts) }
