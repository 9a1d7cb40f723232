package cloud

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// Bounds of what SNS takes (https://docs.aws.amazon.com/sns/latest/api/API_Publish.html), in bytes.
const (
	maxSubject = 99
	maxMessage = 250 << 10
)

// Topic publishes on one topic of SNS, by the one call that is needed; see ParameterStore for why not by the SDK's client.
type Topic struct {
	cfg           aws.Config
	arn, endpoint string
	region        string
	signer        *v4.Signer
	now           func() time.Time
}

// NewTopic publishes on the topic of that ARN, in its region, with the configuration of Load; now dates the signatures.
func NewTopic(cfg aws.Config, arn string, now func() time.Time) (*Topic, error) {
	parts := strings.Split(arn, ":")
	if len(parts) != 6 || parts[0] != "arn" || parts[2] != "sns" || parts[3] == "" || parts[5] == "" {
		return nil, fmt.Errorf("%q is no ARN of an SNS topic, such as arn:aws:sns:eu-west-1:123456789012:alarms", arn)
	}
	t := &Topic{cfg: cfg, arn: arn, region: parts[3], endpoint: regional("sns", parts[3]), signer: v4.NewSigner(), now: now}
	t.endpoint = endpointOf(cfg, "SNS", t.endpoint)
	return t, nil
}

// Publish sends a message to the topic's subscribers. It tries again what may pass; a message may so arrive twice.
func (t *Topic) Publish(ctx context.Context, subject, text string) error {
	for try := 1; ; try++ {
		again, err := t.publish(ctx, subject, text)
		if err == nil {
			return nil
		}
		if !again || try == parameterTries || ctx.Err() != nil {
			return fmt.Errorf("publish on %s: %w", t.arn, err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(parameterPause << try):
		}
	}
}

func (t *Topic) publish(ctx context.Context, subject, text string) (again bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, parameterTimeout)
	defer cancel()
	body := "Action=Publish&Version=2010-03-31&" + url.Values{
		"TopicArn": {t.arn}, "Subject": {plainSubject(subject)}, "Message": {strings.ToValidUTF8(text[:min(len(text), maxMessage)], "")},
	}.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimRight(t.endpoint, "/")+"/", strings.NewReader(body))
	if err != nil {
		return false, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	keys, err := t.cfg.Credentials.Retrieve(ctx)
	if err != nil {
		return false, err
	}
	sum := sha256.Sum256([]byte(body))
	if err := t.signer.SignHTTP(ctx, keys, req, hex.EncodeToString(sum[:]), "sns", t.region, t.now()); err != nil {
		return false, err
	}
	resp, err := t.cfg.HTTPClient.Do(req)
	if err != nil {
		return true, err
	}
	defer resp.Body.Close()
	answer, _ := io.ReadAll(io.LimitReader(resp.Body, maxParameter)) // only to tell throttling apart
	if resp.StatusCode != http.StatusOK {
		again = resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests || strings.Contains(string(answer), "<Code>Throttl")
		return again, fmt.Errorf("SNS answered with status %d", resp.StatusCode)
	}
	return false, nil
}

// plainSubject is a subject as SNS takes it: ASCII in one line.
func plainSubject(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
	return s[:min(len(s), maxSubject)]
}
