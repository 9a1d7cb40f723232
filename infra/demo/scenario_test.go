package demo

import (
	"testing"
)

func load(t *testing.T) *Scenario {
	t.Helper()
	s, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestLoad(t *testing.T) {
	s := load(t)
	n := 0
	s.each(func(string, Address) { n++ })
	t.Log(len(s.Domains), len(s.Hosts), n, len(s.Unverified()), len(s.Verifications()))
}
