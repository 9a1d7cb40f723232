package cloud

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// ErrNoParameter is what reading a parameter that was never made fails with.
var ErrNoParameter = errors.New("there is no such parameter")

const (
	parameterTries   = 3
	parameterTimeout = 5 * time.Second // one attempt
	parameterPause   = 100 * time.Millisecond
	maxParameter     = 64 << 10 // bytes of an answer; a value has 8 KB at most
)

// ParameterStore reads parameters of SSM by the one call that is needed, GetParameter
// (https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetParameter.html). The SDK's client for
// the whole service builds the schemas of 150 calls at each cold start. Safe for concurrent use.
type ParameterStore struct {
	cfg      aws.Config
	endpoint string
	signer   *v4.Signer
	now      func() time.Time
}

// NewParameterStore reads with the configuration of Load; now dates the signatures.
func NewParameterStore(cfg aws.Config, now func() time.Time) *ParameterStore {
	return &ParameterStore{cfg: cfg, endpoint: endpointOf(cfg, "SSM", regional("ssm", cfg.Region)), signer: v4.NewSigner(), now: now}
}

// endpointOf is where a service is asked: where the configuration says so, or there.
func endpointOf(cfg aws.Config, id, there string) string {
	if cfg.BaseEndpoint != nil {
		there = *cfg.BaseEndpoint
	}
	for _, source := range cfg.ConfigSources {
		if e, ok := source.(endpoints); ok {
			if url, found, _ := e.GetServiceBaseEndpoint(context.Background(), id); found {
				there = url
			}
		}
	}
	return there
}

// regional is a service's address in a region of the public partitions and of China's.
func regional(service, region string) string {
	if strings.HasPrefix(region, "cn-") {
		return "https://" + service + "." + region + ".amazonaws.com.cn"
	}
	return "https://" + service + "." + region + ".amazonaws.com"
}

// Get reads a parameter, decrypted. It tries again what may pass: throttling, a failing service, a lost connection.
func (s *ParameterStore) Get(ctx context.Context, name string) (string, error) {
	for try := 1; ; try++ {
		value, again, err := s.get(ctx, name)
		if err == nil {
			return value, nil
		}
		if !again || try == parameterTries || ctx.Err() != nil {
			return "", fmt.Errorf("read SSM parameter %s: %w", name, err)
		}
		select {
		case <-ctx.Done():
			return "", fmt.Errorf("read SSM parameter %s: %w", name, errors.Join(ctx.Err(), err))
		case <-time.After(parameterPause << try):
		}
	}
}

// get is one attempt; again tells whether another one may succeed. No error quotes a value.
func (s *ParameterStore) get(ctx context.Context, name string) (value string, again bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, parameterTimeout)
	defer cancel()
	req, err := s.request(ctx, name)
	if err != nil {
		return "", false, err
	}
	resp, err := s.cfg.HTTPClient.Do(req)
	if err != nil {
		return "", true, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxParameter))
	if err != nil {
		return "", true, err
	}
	var out struct {
		Type      string `json:"__type"`
		Parameter *struct{ Value *string }
	}
	broken := json.Unmarshal(body, &out)
	switch {
	case resp.StatusCode == http.StatusBadRequest && strings.HasSuffix(out.Type, "ParameterNotFound"):
		return "", false, ErrNoParameter
	case resp.StatusCode != http.StatusOK:
		again = resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests || strings.Contains(out.Type, "Throttling")
		return "", again, fmt.Errorf("SSM answered with status %d, %s", resp.StatusCode, out.Type[strings.LastIndexByte(out.Type, '#')+1:])
	case broken != nil:
		return "", true, errors.New("SSM's answer is not JSON")
	case out.Parameter == nil || out.Parameter.Value == nil:
		return "", false, errors.New("it has no value")
	}
	return *out.Parameter.Value, false, nil
}

// request is a signed GetParameter.
func (s *ParameterStore) request(ctx context.Context, name string) (*http.Request, error) {
	body, err := json.Marshal(map[string]any{"Name": name, "WithDecryption": true})
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimRight(s.endpoint, "/")+"/", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-amz-json-1.1")
	req.Header.Set("X-Amz-Target", "AmazonSSM.GetParameter")
	keys, err := s.cfg.Credentials.Retrieve(ctx)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(body)
	if err := s.signer.SignHTTP(ctx, keys, req, hex.EncodeToString(sum[:]), "ssm", s.cfg.Region, s.now()); err != nil {
		return nil, err
	}
	return req, nil
}
