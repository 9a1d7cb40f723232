package bolt_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/lapseguard/lapseguard/shared/store"
	"github.com/lapseguard/lapseguard/shared/store/bolt"
	"github.com/lapseguard/lapseguard/shared/store/storetest"
)

func open(t testing.TB, path string, now func() time.Time) *bolt.Store {
	t.Helper()
	s, err := bolt.Open(path, bolt.Options{Now: now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestConformance(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T, now func() time.Time) store.Store {
		t.Parallel()
		return open(t, filepath.Join(t.TempDir(), "store.db"), now)
	})
}

func BenchmarkStore(b *testing.B) {
	storetest.Bench(b, open(b, filepath.Join(b.TempDir(), "store.db"), nil))
}

func record(sk string) store.Key { return store.Key{Table: store.Records, PK: "p", SK: sk} }

func put(k store.Key, version int64) store.Write {
	return store.Write{Item: store.Item{Key: k, Version: version, Data: []byte(`{}`)}}
}

// helperEnv makes this test binary another process that works on the file it names.
const helperEnv = "BOLT_TEST_FILE"

func helper(t *testing.T, test, path string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^"+test+"$", "-test.v=false")
	cmd.Env = append(os.Environ(), helperEnv+"="+path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, bufio.NewScanner(out)
}

func TestInUse(t *testing.T) {
	if path := os.Getenv(helperEnv); path != "" {
		open(t, path, nil)
		fmt.Println("open")
		<-time.After(time.Minute) // until it is killed; a bare select is a deadlock to the runtime, which ends the process
	}
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store.db")
	cmd, lines := helper(t, "TestInUse", path)
	if !lines.Scan() || lines.Text() != "open" {
		t.Fatalf("the other process said %q", lines.Text())
	}
	_, err := bolt.Open(path, bolt.Options{})
	if !errors.Is(err, bolt.ErrInUse) || !strings.Contains(err.Error(), "another lapseguard is running") || !strings.Contains(err.Error(), path) {
		t.Errorf("error %v", err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	open(t, path, nil)
}

// TestKilled kills a writer at random moments: what Write returned for is there, and pairs that were written
// together are still together.
func TestKilled(t *testing.T) {
	if path := os.Getenv(helperEnv); path != "" {
		writeUntilKilled(t, path)
		return
	}
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store.db")
	total := 0
	for round := range 6 {
		cmd, lines := helper(t, "TestKilled", path)
		confirmed := int64(0)
		for n := 0; lines.Scan(); n++ {
			if _, err := fmt.Sscan(lines.Text(), &confirmed); err != nil {
				t.Fatalf("the other process said %q", lines.Text())
			}
			if n == 20+17*round {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		_ = cmd.Wait() // it was killed
		total += int(confirmed)
		s, err := bolt.Open(path, bolt.Options{})
		if err != nil {
			t.Fatal(err)
		}
		a, err := s.Get(t.Context(), record("a"))
		if err != nil {
			t.Fatal(err)
		}
		b, err := s.Get(t.Context(), record("b"))
		if err != nil || a.Version != b.Version || a.Version < confirmed {
			t.Errorf("versions %d and %d, %d were confirmed, %v", a.Version, b.Version, confirmed, err)
		}
		items, more, err := s.Query(t.Context(), store.Query{PK: "log", Limit: store.MaxPage})
		if err != nil || more || int64(len(items)) != a.Version {
			t.Errorf("%d log entries, want %d, %v", len(items), a.Version, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if total < 100 {
		t.Errorf("only %d writes: the test is blind", total)
	}
}

// writeUntilKilled counts in two items and a log, and says how far it is after each write.
func writeUntilKilled(t *testing.T, path string) {
	s := open(t, path, nil)
	it, err := s.Get(t.Context(), record("a"))
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		t.Fatal(err)
	}
	for v := it.Version; ; v++ {
		log := put(store.Key{Table: store.Records, PK: "log", SK: fmt.Sprintf("%08d", v)}, 0)
		log.Data = []byte(`{"x":"` + strings.Repeat("x", int(v*37%5000)) + `"}`)
		if err := s.Write(t.Context(), put(record("a"), v), put(record("b"), v), log); err != nil {
			t.Fatal(err)
		}
		fmt.Println(v + 1)
	}
}

func TestOpenRefusesOtherFormats(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store.db")
	s, err := bolt.Open(path, bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	err = s.DB().Update(func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte("store/meta")).Put([]byte("format"), []byte{99})
	})
	if err = errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := bolt.Open(path, bolt.Options{}); err == nil || !strings.Contains(err.Error(), "format [99]") {
		t.Errorf("error %v", err)
	}
	if err := os.WriteFile(path, []byte(strings.Repeat("no database", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := bolt.Open(path, bolt.Options{}); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("error %v", err)
	}
	if _, err := bolt.Open(filepath.Join(path, "below"), bolt.Options{}); err == nil {
		t.Error("opened a file below a file")
	}
}

func count(t *testing.T, s *bolt.Store, bucket string) int {
	t.Helper()
	n := 0
	err := s.DB().View(func(tx *bbolt.Tx) error {
		n = tx.Bucket([]byte(bucket)).Stats().KeyN
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Expired items leave the file with later writes, their entries in the indexes too.
func TestForgets(t *testing.T) {
	t.Parallel()
	var offset atomic.Int64
	begin := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	s := open(t, filepath.Join(t.TempDir(), "store.db"), func() time.Time { return begin.Add(time.Duration(offset.Load())) })
	for i := range 100 {
		r := put(record(fmt.Sprint(i)), 0)
		r.Expires = begin.Add(time.Hour)
		d := put(store.Key{Table: store.Domains, PK: fmt.Sprintf("d%d.example", i)}, 0)
		d.Expires, d.Due = begin.Add(time.Hour), begin
		if err := s.Write(t.Context(), r, d); err != nil {
			t.Fatal(err)
		}
	}
	keep := put(record("keep"), 0)
	if err := s.Write(t.Context(), keep); err != nil {
		t.Fatal(err)
	}
	offset.Store(int64(time.Hour))
	for i := range 4 { // 200 items, 64 at a time
		if err := s.Write(t.Context(), put(store.Key{Table: store.Records, PK: "q", SK: fmt.Sprint(i)}, 0)); err != nil {
			t.Fatal(err)
		}
	}
	for bucket, want := range map[string]int{"store/records": 5, "store/domains": 0, "store/due": 0, "store/expiry": 0} {
		if n := count(t, s, bucket); n != want {
			t.Errorf("%s holds %d, want %d", bucket, n, want)
		}
	}
}

// Segments and shards are of about one size.
func TestSpread(t *testing.T) {
	t.Parallel()
	s := open(t, filepath.Join(t.TempDir(), "store.db"), nil)
	const n, segments = 4000, 8
	var groups [][]store.Write
	var shards [store.Shards]int
	for i := range n {
		name := fmt.Sprintf("name%d.com", i)
		shards[store.Shard(name)]++
		groups = append(groups, []store.Write{put(store.Key{Table: store.Domains, PK: name}, 0)})
	}
	for _, err := range s.WriteEach(t.Context(), groups) {
		if err != nil {
			t.Fatal(err)
		}
	}
	for segment := range segments {
		items, next, err := s.Scan(t.Context(), segment, segments, "", n)
		if err != nil || next != "" || len(items) < n/segments*8/10 || len(items) > n/segments*12/10 {
			t.Errorf("segment %d has %d of %d, %v", segment, len(items), n, err)
		}
	}
	for shard, c := range shards {
		if c < n/store.Shards*8/10 || c > n/store.Shards*12/10 {
			t.Errorf("shard %d has %d of %d", shard, c, n)
		}
	}
}

// An error of the file is for every group; what could never succeed is still said as such.
func TestClosed(t *testing.T) {
	t.Parallel()
	s, err := bolt.Open(filepath.Join(t.TempDir(), "store.db"), bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	errs := s.WriteEach(t.Context(), [][]store.Write{{put(record("a"), 0)}, {put(record("b"), 0)}})
	for _, err := range errs {
		if err == nil || errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrInvalid) {
			t.Errorf("write: %v", err)
		}
	}
	if _, err := s.Get(t.Context(), record("a")); err == nil || errors.Is(err, store.ErrNotFound) {
		t.Errorf("get: %v", err)
	}
}

func TestDamagedItem(t *testing.T) {
	t.Parallel()
	s := open(t, filepath.Join(t.TempDir(), "store.db"), nil)
	if err := s.Write(t.Context(), put(record("a"), 0)); err != nil {
		t.Fatal(err)
	}
	err := s.DB().Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte("store/records"))
		k, _ := b.Cursor().First()
		return b.Put(k, []byte("short"))
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(t.Context(), record("a")); err == nil || errors.Is(err, store.ErrNotFound) || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("get: %v", err)
	}
	if err := s.Write(t.Context(), put(record("a"), 0)); err == nil || errors.Is(err, store.ErrConflict) {
		t.Errorf("write: %v", err)
	}
}
