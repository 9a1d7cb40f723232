package queuetest

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/lapseguard/lapseguard/shared/queue"
)

// Begin is when every message of these tests was sent.
var Begin = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

// Base is a message without domains, for queue.Pack.
func Base(kind queue.Kind) queue.Message {
	return queue.Message{Kind: kind, Upstream: "com", Run: "r1", Share: 0.5, Sent: Begin}
}

// Entries are n domains, each with an item of a little more than size bytes.
func Entries(n, size int) []queue.Entry {
	var list []queue.Entry
	for i := range n {
		list = append(list, queue.Entry{
			Name: fmt.Sprintf("d%d.example", i), Version: int64(i), Item: json.RawMessage(`{"x":"` + strings.Repeat("x", size) + `"}`),
		})
	}
	return list
}

// Messages are messages about one domain each; the group is the first letter of the name.
func Messages(names ...string) []queue.Message {
	var list []queue.Message
	for _, n := range names {
		m := Base(queue.KindDelegation)
		m.Group = n[:1]
		list = append(list, queue.Pack(m, []queue.Entry{{Name: n}})...)
	}
	return list
}
