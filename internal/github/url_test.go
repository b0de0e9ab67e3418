package github

import (
	"strings"
	"testing"
)

func TestParseConfigURL(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"https://github.com/acme":                   "https://github.com/acme",
		"https://github.com/acme/app":               "https://github.com/acme/app",
		"https://github.com/acme/app//":             "https://github.com/acme/app",
		"HTTPS://GitHub.COM/Acme/":                  "https://github.com/Acme",
		"https://github.com/enterprises/big":        "https://github.com/enterprises/big",
		"https://acme.ghe.com/acme":                 "https://acme.ghe.com/acme",
		"https://git.acme.example:8443/acme/app":    "https://git.acme.example:8443/acme/app",
		"http://[::1]:8080/acme":                    "http://[::1]:8080/acme",
		"https://github.com/acme/a.b":               "https://github.com/acme/a.b",
		"https://github.com/acme/a..b":              "https://github.com/acme/a..b",
		"https://github.com/acme/%C3%A9":            "https://github.com/acme/%C3%A9",
		"https://github.com/acme/é":                 "https://github.com/acme/%C3%A9",
		"https://github.com/acme/a%20b%3Fc%23d%250": "https://github.com/acme/a%20b%3Fc%23d%250",
		"https://github.com/acme/a%0Ab%1B":          "https://github.com/acme/a%0Ab%1B", // nothing that a terminal obeys
		"https://github.com/acme%2Fapp":             "https://github.com/acme/app",      // ARC takes it for this too
		"https://github.com/acme?":                  "https://github.com/acme",

		"":                                 "",
		"/":                                "",
		"acme":                             "",
		"github.com/acme":                  "",
		"//github.com/acme":                "",
		"github.com:443/acme":              "",
		"localhost:8080/acme":              "",
		"https:github.com/acme":            "",
		"https:///acme":                    "",
		"ftp://github.com/acme":            "",
		"https://github.com":               "",
		"https://github.com/":              "",
		"https://github.com/acme/app/more": "",
		"https://github.com/acme//app":     "",
		"https://github.com/enterprises/big/more": "",
		"https://github.com/acme%2Fapp%2Fmore":    "",
		"https://github.com/acme%2F%2Fapp":        "",
		"https://github.com/acme/..":              "",
		"https://github.com/../acme":              "",
		"https://github.com/./acme":               "",
		"https://github.com/%2E%2E/acme":          "",
		"https://github.com/acme/..%2Fapp":        "",
		"https://github.com/acme?q=planted":       "",
		"https://github.com/acme#planted":         "",
		"https://planted@github.com/acme":         "",
		"https://user:planted@github.com/acme":    "",
		"https://user:plan%ted@github.com/acme":   "",
		"https://github.com:planted/acme":         "",
		"https://git planted.example/acme":        "",
		"https://evil.example\\.ghe.com/acme":     "",
		"https://github.com/pl\x1b[31manted":      "",
		" https://github.com/planted":             "",
	} {
		u, err := ParseConfigURL(text)
		switch {
		case want == "" && err == nil:
			t.Errorf("%q is taken for %s", text, u)
		case want == "" && (strings.Contains(err.Error(), "planted") || strings.Contains(err.Error(), "\x1b")):
			t.Errorf("%q: the error has the text: %v", text, err)
		case want != "" && (err != nil || u.String() != want):
			t.Errorf("%q: %s, %v, want %s", text, u, err, want)
		}
	}
}

func parsed(t *testing.T, text string) ConfigURL {
	t.Helper()
	u, err := ParseConfigURL(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return u
}

func TestCovers(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		for_, other string
		want        bool
	}{
		{"https://github.com/acme", "https://github.com/acme", true},
		{"https://github.com/acme", "https://GITHUB.com/ACME", true},
		{"https://github.com/acme", "https://github.com/acme/app", true},
		{"https://github.com/acme", "https://github.com/acme%2Fapp", true},
		{"https://github.com/acme", "https://github.com/acme-evil", false},
		{"https://github.com/acme", "https://github.com/acme-evil/app", false},
		{"https://github.com/acme", "https://github.com/evil/acme", false},
		{"https://github.com/acme", "http://github.com/acme", false},
		{"https://github.com/acme", "https://github.com:8443/acme", false},
		{"https://github.com/acme", "https://github.com./acme", false},
		{"https://github.com/acme", "https://acme.ghe.com/acme", false},
		{"https://github.com/acme", "https://github.com.evil.example/acme", false},
		{"https://github.com/acme/app", "https://github.com/acme/app", true},
		{"https://github.com/acme/app", "https://github.com/acme", false},
		{"https://github.com/acme/app", "https://github.com/acme/app2", false},
		{"https://github.com/enterprises/big", "https://github.com/Enterprises/BIG", true},
		{"https://github.com/enterprises/big", "https://github.com/enterprises/bigger", false},
		{"https://github.com/enterprises/big", "https://github.com/big", false},
		{"https://github.com/enterprises", "https://github.com/enterprises/big", false},
		{"http://git.acme.example:80/acme", "http://git.acme.example:80/acme/app", true},
		{"http://git.acme.example:80/acme", "http://git.acme.example:81/acme/app", false},
	} {
		if got := parsed(t, test.for_).Covers(parsed(t, test.other)); got != test.want {
			t.Errorf("credentials for %s go to %s: %t", test.for_, test.other, got)
		}
	}
}

func TestOwn(t *testing.T) {
	t.Parallel()
	token, err := Token("a-token")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		of, to string
		want   bool
	}{
		{"", "https://github.com/acme", true},
		{"", "https://www.github.com/acme", true},
		{"", "https://acme.ghe.com/acme/app", true},
		{"", "https://github.com/enterprises/big", true},
		{"", "http://github.com/acme", false},
		{"", "http://acme.ghe.com/acme", false},
		{"", "https://github.com:443/acme", false},
		{"", "https://ghe.com/acme", false},
		{"", "https://evilghe.com/acme", false},
		{"", "https://evil.ghe.com.evil.example/acme", false},
		{"", "https://acme.ghe.com:8443/acme", false},
		{"", "https://acme.ghe.com./acme", false},
		{"", "https://evil.example/acme.ghe.com", false},
		{"", "https://github.com.evil.example/acme", false},
		{"", "https://[fe80::1%25.ghe.com]/acme", false},
		{"", "https://git.acme.example/acme", false},
		{"https://git.acme.example/acme", "https://git.acme.example/acme/app", true},
		{"https://git.acme.example/acme", "https://github.com/acme", false},
		{"https://github.com/acme", "https://github.com/evil", false},
	} {
		own := &Own{Credentials: token}
		if test.of != "" {
			own.URL = parsed(t, test.of)
		}
		a, is := own.For(parsed(t, test.to))
		if is != test.want || (a.Credentials.open != nil) != test.want {
			t.Errorf("credentials for %q go to %s: %t", test.of, test.to, is)
		}
		if is && (a.URL.String() != test.to || a.Proxy != nil || a.Roots != nil) {
			t.Errorf("credentials for %q go to %s in another way: %+v", test.of, test.to, a)
		}
	}
	var none *Own
	if _, is := none.For(parsed(t, "https://github.com/acme")); is {
		t.Error("there are credentials, without any")
	}
}

func TestRights(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"https://github.com/acme":            "admin:org",
		"https://github.com/acme/app":        "Administration",
		"https://github.com/enterprises/big": "manage_runners:enterprise",
	} {
		if got := parsed(t, text).rights(); !strings.Contains(got, want) {
			t.Errorf("%s: %s", text, got)
		}
	}
}
