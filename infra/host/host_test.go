package host

import (
	"testing"
	"time"

	"github.com/lapseguard/lapseguard/infra/template"
)

// TestQueueIsTheTemplates: the in-process queue gives a message back, and gives it up, when the deployed one does.
func TestQueueIsTheTemplates(t *testing.T) {
	tpl, err := template.Open()
	if err != nil {
		t.Fatal(err)
	}
	q := tpl.Queue("ChecksQueue")
	if time.Duration(q.VisibilityTimeout)*time.Second != Visibility || q.MaxReceive != MaxReceive || !q.FIFO {
		t.Errorf("the template's queue is %+v; here %s and %d", q, Visibility, MaxReceive)
	}
}
