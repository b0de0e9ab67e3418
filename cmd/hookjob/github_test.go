package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Credentials that are not right, as a person gives them. A hook goes on without them: Helm must not hang on a Secret of theirs.
func TestBadCredentials(t *testing.T) {
	const secret = "ghp_TheSecret"
	empty, large := filepath.Join(t.TempDir(), "empty"), filepath.Join(t.TempDir(), "large")
	for file, content := range map[string]string{empty: "", large: strings.Repeat(secret, maxCredentials)} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	app := []string{"--github-app-id", "1", "--github-app-installation-id", "2", "--github-app-private-key-file"}
	for name, test := range map[string]struct {
		args  []string
		token string
		want  string
	}{
		"a URL without credentials": {[]string{"--github-url", "https://github.com/acme"}, "", "--github-url says what your credentials"},
		"two lines":                 {nil, secret + "\n" + secret, "characters that no token has"},
		"the token as its file":     {[]string{"--github-token-file", secret}, "", "--github-token-file: could not open this file: no such file or directory"},
		"a directory":               {[]string{"--github-token-file", os.TempDir()}, "", "--github-token-file: could not read this file: is a directory"},
		"an empty file":             {[]string{"--github-token-file", empty}, "", "the file is empty"},
		"a large file":              {[]string{"--github-token-file", large}, "", "too large"},
		"the key as its file":       {append(app, "-----BEGIN RSA PRIVATE KEY-----\n"+secret), "", "--github-app-private-key-file: could not open this file"},
		"both":                      {append(app, empty), secret, "you gave a token and an App: give one"},
		"both, one empty":           {append(app, empty, "--github-token-file", empty), "", "--github-token-file: the file is empty"},
		"an App's ID":               {app[:2], secret, "--github-app-id also needs --github-app-installation-id and --github-app-private-key-file"},
		"an App without its key":    {app[:4], "", "--github-app-id also needs --github-app-private-key-file"},
		"an App's installation":     {app[2:4], "", "--github-app-installation-id also needs --github-app-id and --github-app-private-key-file"},
		"a URL with a password":     {[]string{"--github-url", "https://x:" + secret + "@github.com/acme"}, secret, "--github-url: the URL contains a user or a password"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(tokenVariable, test.token)
			for _, hook := range []bool{false, true} {
				var f target
				cmd := newRun()
				cmd.ResetFlags()
				f.register(cmd.Flags())
				args := append([]string{"--all-namespaces"}, test.args...)
				if hook {
					args = append([]string{"--job", "j", "--release-namespace", "arc"}, test.args...)
				}
				if err := cmd.ParseFlags(args); err != nil {
					t.Fatal(err)
				}
				err := f.complete(cmd.Flags())
				if hook {
					if err != nil || f.credentials != nil {
						t.Errorf("the hook: %v, %v", f.credentials, err)
					}
					err = f.badCredentials
				}
				if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), secret) {
					t.Errorf("hook %v: %v", hook, err)
				}
			}
		})
	}
}
