package cloud

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

const arn = "arn:aws:sns:eu-central-1:123456789012:alarms"

func TestTopicPublishes(t *testing.T) {
	var form url.Values
	var asked http.Header
	statuses := []int{503, 200}
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(io.LimitReader(r.Body, 1<<20))
		form, _ = url.ParseQuery(string(body))
		asked = r.Header
		w.WriteHeader(statuses[0])
		statuses = statuses[1:]
	}))
	defer web.Close()
	cfg, err := Load(environment("AWS_ENDPOINT_URL_SNS", web.URL))
	if err != nil {
		t.Fatal(err)
	}
	topic, err := NewTopic(cfg, arn, func() time.Time { return time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC) })
	if err != nil {
		t.Fatal(err)
	}
	if err := topic.Publish(t.Context(), "über\nall "+strings.Repeat("x", 200), "On 3 March & more"); err != nil {
		t.Fatal(err)
	}
	if len(statuses) != 0 || form.Get("Action") != "Publish" || form.Get("TopicArn") != arn || form.Get("Message") != "On 3 March & more" || len(form.Get("Subject")) != 99 || !strings.HasPrefix(form.Get("Subject"), "?ber?all") {
		t.Errorf("%v, %d answers left", form, len(statuses))
	}
	if auth := asked.Get("Authorization"); !strings.Contains(auth, "/eu-central-1/sns/aws4_request") {
		t.Errorf("signed %s: want the topic's own region", auth)
	}
	statuses = []int{403}
	if err := topic.Publish(t.Context(), "s", "t"); err == nil || !strings.Contains(err.Error(), arn) || strings.Contains(err.Error(), "key") {
		t.Errorf("refused: %v", err)
	}
}

func TestTopicOfNoARN(t *testing.T) {
	cfg, err := Load(environment())
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"", "alarms", "arn:aws:sqs:eu-west-1:1:q", "arn:aws:sns::1:alarms", "arn:aws:sns:eu-west-1:1:"} {
		if _, err := NewTopic(cfg, bad, time.Now); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	topic, err := NewTopic(cfg, "arn:aws-cn:sns:cn-north-1:1:a", time.Now)
	if err != nil || topic.endpoint != "https://sns.cn-north-1.amazonaws.com.cn" {
		t.Errorf("%v %v", topic, err)
	}
}
