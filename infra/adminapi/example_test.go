package adminapi_test

import (
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	_ "modernc.org/sqlite"
)

type session struct {
	byMail          bool  // begun with a link or code that was mailed
	credentialSetAt int64 // when the password, key or second factor that began it was set; seconds since 1970
}

// README shows what stands between the two lines that say so.

// begin README
// Asked wherever mail opens something: when it is sent, and when what it carried is followed.
func mayRecover(db *sql.DB, address int64) (yes bool, err error) {
	err = db.QueryRow(`SELECT NOT EXISTS (SELECT 1 FROM closings WHERE address = ? AND ended_at IS NULL)`, address).Scan(&yes)
	return yes, err
}

// Called after a holder verified an address again: lets out this address, never its domain.
func verifiedAgain(db *sql.DB, s session, address int64) error {
	if s.byMail {
		return nil
	}
	_, err := db.Exec(`UPDATE closings SET ended_at = unixepoch(), ended_by = 'holder'
		WHERE address = ? AND ended_at IS NULL AND continuous_until > ?`, address, s.credentialSetAt)
	return err
}

// end README

// TestTheChangeThatARegistryHasToMake: the code in README is this file's, and does what it says.
func TestTheChangeThatARegistryHasToMake(t *testing.T) {
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1) // each connection would have a database of its own
	const gap = 1_700_000_000
	if _, err := db.Exec(`CREATE TABLE closings (address INTEGER, domain TEXT, since INTEGER, continuous_until INTEGER, ended_at INTEGER, ended_by TEXT);
		INSERT INTO closings VALUES (1, 'a.example', ?1 + 60, ?1, NULL, NULL), (2, 'a.example', ?1 + 60, ?1, NULL, NULL)`, gap); err != nil {
		t.Fatal(err)
	}
	open := func(address int64) bool {
		t.Helper()
		yes, err := mayRecover(db, address)
		if err != nil {
			t.Fatal(err)
		}
		return yes
	}
	if open(1) || open(2) || !open(3) {
		t.Error("closed are those that are bound, and no others")
	}
	day := int64(24 * time.Hour / time.Second)
	for name, s := range map[string]session{
		"a session that a mail began": {byMail: true, credentialSetAt: gap - day},
		"a password from the gap":     {credentialSetAt: gap + day},
		"a password set at its edge":  {credentialSetAt: gap},
	} {
		if err := verifiedAgain(db, s, 1); err != nil || open(1) {
			t.Errorf("%s let the address out: %v", name, err)
		}
	}
	if err := verifiedAgain(db, session{credentialSetAt: gap - day}, 1); err != nil || !open(1) || open(2) {
		t.Errorf("a password from before the gap lets this address out and no other: %t %t %v", open(1), open(2), err)
	}
}

func TestReadmeShowsTheChange(t *testing.T) {
	own, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, code, _ := strings.Cut(string(own), "// begin README\n")
	code, _, _ = strings.Cut(code, "\n// end README")
	if code == "" || !strings.Contains(string(readme), "```go\n"+code+"```") {
		t.Errorf("README lacks this code, as a block:\n%s", code)
	}
	lines := 0
	for line := range strings.Lines(code) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "//") {
			lines++
		}
	}
	if lines > 15 {
		t.Errorf("%d lines; README says about fifteen", lines)
	}
}
