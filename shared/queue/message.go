// Package queue is the messages that carry questions from the functions that raise them to the checker that asks
// them. What carries the messages is in packages of its own, which pass one conformance suite (queuetest): sqs, and
// local, which behaves as SQS FIFO with an event source mapping does.
package queue

import (
	"context"
	"encoding/json"
	"time"

	"github.com/aws/aws-lambda-go/events"
)

// Schema is the version of Message. A checker that meets a newer one puts the message to the dead letters at once; it
// can be redriven after an upgrade.
const Schema = 1

// Kind is the kind of question a message asks about its domains.
type Kind string

// The kinds, one upstream each.
const (
	KindDelegation Kind = "delegation"
	KindRDAP       Kind = "rdap"
	KindStatus     Kind = "status"
	KindMail       Kind = "mail"
	KindServers    Kind = "servers"
)

// Message is one kind of question to one upstream about many domains.
type Message struct {
	Schema int    `json:"v"`
	ID     string `json:"id"` // derived from the content: the same message sent twice has the same ID
	// Run is the daily run this message belongs to; empty for second looks, which no run supersedes.
	Run      string `json:"run,omitempty"`
	Kind     Kind   `json:"kind"`
	Upstream string `json:"upstream"` // "com", an RDAP base URL, "fastly", "resolver", "own"
	// Group orders messages: one group is worked on by one invocation at a time. It starts with Kind and
	// Upstream; a large upstream has several groups.
	Group string `json:"group"`
	// Share is this group's part of the upstream's rate budget (1 when it has one group).
	Share float64 `json:"share,omitempty"`
	// Look asks every question anew, due or not: a second look.
	Look bool `json:"look,omitempty"`
	// Tries counts how often the message was parked: the upstream is left alone for longer each time.
	Tries   int       `json:"tries,omitempty"`
	Sent    time.Time `json:"sent"`
	Domains []Entry   `json:"domains"`
}

// Entry is a domain with the state the checker needs to judge the answer without reading the table.
type Entry struct {
	Name    string          `json:"d"`
	Version int64           `json:"n"`           // of the stored item Item was read from
	Item    json.RawMessage `json:"i,omitempty"` // the stored item's data; empty: read it
}

// Sender sends messages. It retries the failed part of a partly failed batch; failed holds what was
// certainly or possibly not sent when err is not nil. Sending a message again is harmless. Messages of a
// group keep their order.
type Sender interface {
	Send(ctx context.Context, messages []Message) (failed []Message, err error)
}

// DeadLetters takes a message that no attempt of this version can answer out of its group's way. From there it can be
// redriven once a version is at work that can. Putting the same message there again is harmless.
type DeadLetters interface {
	Bury(ctx context.Context, m events.SQSMessage) error
}

// Handler is a function with an SQS event source that reports failures by message.
type Handler = func(context.Context, events.SQSEvent) (events.SQSEventResponse, error)
