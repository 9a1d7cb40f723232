package keycloak

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A name that begins like a loopback address is a name, and may be anywhere.
func TestPlainHTTPIsForThisMachineAlone(t *testing.T) {
	for url, fine := range map[string]bool{
		"http://127.0.0.1:8080": true, "http://127.9.9.9": true, "http://[::1]:8080": true, "http://localhost": true, "https://id.example": true,
		"http://127.evil.example": false, "http://127.0.0.1.evil.example": false, "http://localhost.evil.example": false, "http://10.0.0.1": false,
	} {
		_, err := NewAdmin(AdminConfig{URL: url, Realm: realmName, ClientID: "c", Secret: secret, Now: time.Now})
		if (err == nil) != fine {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func TestJournalIsItsOwnersAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.db")
	if err := os.WriteFile(path, nil, 0o644); err != nil { // one of an earlier version
		t.Fatal(err)
	}
	j, err := openJournal(path)
	if err != nil {
		t.Fatal(err)
	}
	defer j.db.Close()
	files, err := filepath.Glob(path + "*")
	if err != nil || len(files) < 2 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		if info, err := os.Stat(f); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", filepath.Base(f), info.Mode(), err)
		}
	}
}
