package conform

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// What no answer of the admin API shows, a site shows: whether a link that is out lives, whether the answer to who asks
// differs, and what a holder's own verification opens. A registry that wants this walked puts three hooks in front of its
// test accounts, each a POST with a JSON object, in a test installation alone:
//
//	/ask {"account":"test"} or {"account":"nobody"} asks for recovery as anybody can, for a test account at the test
//	  domain or for an address there that has no account: {"answer":"what the asker sees","link":"what was mailed, or empty"}
//	/follow {"link":"..."} follows it: {"followed":true} when something can be set or signed in with it
//	/verify {} signs the same test account in with a password or key older than the walk by some minutes, and verifies its
//	  address again: {"verified":true}
type site struct {
	base string
	http *http.Client
}

func (s site) post(ctx context.Context, path string, in, out any) error {
	data, err := encode(in)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimRight(s.base, "/")+path, bytes.NewReader(data))
	if err != nil {
		return fmt.Errorf("the site's %s: %w", path, err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := s.http.Do(req)
	if err != nil {
		return fmt.Errorf("the site's %s: %w", path, err)
	}
	defer func() { _ = resp.Body.Close() }()
	if data, err = io.ReadAll(io.LimitReader(resp.Body, maxSite+1)); err != nil {
		return fmt.Errorf("the site's %s: the answer breaks off: %w", path, err)
	}
	if resp.StatusCode != http.StatusOK || len(data) > maxSite || decode(data, out) != nil {
		return fmt.Errorf("the site's %s answers %d, or not the JSON that the hook is to give", path, resp.StatusCode)
	}
	return nil
}

// maxSite bounds a hook's answer in bytes.
const maxSite = 1 << 20

type asked struct {
	Answer string `json:"answer"`
	Link   string `json:"link"`
}

func (s site) ask(ctx context.Context, account string) (out asked, err error) {
	return out, s.post(ctx, "/ask", map[string]string{"account": account}, &out)
}

func (s site) follow(ctx context.Context, link string) (bool, error) {
	var out struct {
		Followed bool `json:"followed"`
	}
	err := s.post(ctx, "/follow", map[string]string{"link": link}, &out)
	return out.Followed, err
}

func (s site) verify(ctx context.Context) (bool, error) {
	var out struct {
		Verified bool `json:"verified"`
	}
	err := s.post(ctx, "/verify", map[string]string{}, &out)
	return out.Verified, err
}
