package github

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/actions/scaleset"
	"github.com/rs/zerolog"
)

func inPEM(t *testing.T, kind string, der []byte, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func TestFromSecret(t *testing.T) {
	t.Parallel()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	pkcs1 := inPEM(t, "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key), nil)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	pkcs8 := inPEM(t, "PRIVATE KEY", der, err)
	der, err = x509.MarshalPKCS8PrivateKey(other)
	elliptic := inPEM(t, "PRIVATE KEY", der, err)
	public := inPEM(t, "RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(&key.PublicKey), nil)

	const token, id, installation, private = keyToken, keyAppID, keyInstallation, keyPrivateKey
	for name, test := range map[string]struct {
		data map[string]string
		want string // of the credentials: the token, or the App's ID; or a part of the error
	}{
		"a token":                         {map[string]string{token: "planted"}, "planted"},
		"a token with a line break":       {map[string]string{token: " planted\n"}, "planted"},
		"a token and an App":              {map[string]string{token: "planted", id: "1", installation: "2", private: pkcs1}, "planted"},
		"an App":                          {map[string]string{id: "1", installation: "2", private: pkcs1}, "App 1 2"},
		"an App with PKCS #8":             {map[string]string{id: "Iv1.a", installation: " 2\n", private: pkcs8}, "App Iv1.a 2"},
		"an App and an empty token":       {map[string]string{token: "", id: "1", installation: "2", private: pkcs1}, "App 1 2"},
		"nothing":                         {nil, "error: it has neither github_token nor github_app_id"},
		"another key":                     {map[string]string{"token": "planted"}, "error: it has neither"},
		"an empty token":                  {map[string]string{token: ""}, "error: it has neither"},
		"a blank token":                   {map[string]string{token: " \n"}, "error: the token is empty"},
		"a token of two lines":            {map[string]string{token: "planted\r\nHost: evil"}, "error: the token is empty, or contains characters"},
		"a token that is no ASCII":        {map[string]string{token: "plantedé"}, "error: the token is empty, or contains characters"},
		"a token with a zero":             {map[string]string{token: "planted\x00"}, "error: the token is empty, or contains characters"},
		"an App without an ID":            {map[string]string{installation: "2", private: pkcs1}, "error: the ID of the App is missing"},
		"an App with a blank ID":          {map[string]string{id: " ", installation: "2", private: pkcs1}, "error: the ID of the App is missing"},
		"an App without an installation":  {map[string]string{id: "1", private: pkcs1}, "error: the ID of the App's installation"},
		"an App with a word":              {map[string]string{id: "1", installation: "planted", private: pkcs1}, "error: the ID of the App's installation"},
		"an App with zero":                {map[string]string{id: "1", installation: "0", private: pkcs1}, "error: the ID of the App's installation"},
		"an App with a negative number":   {map[string]string{id: "1", installation: "-2", private: pkcs1}, "error: the ID of the App's installation"},
		"an App with too large a number":  {map[string]string{id: "1", installation: "9999999999999999999", private: pkcs1}, "error: the ID of the App's installation"},
		"an App without a key":            {map[string]string{id: "1", installation: "2"}, "error: the App's private key"},
		"an App with a word for a key":    {map[string]string{id: "1", installation: "2", private: "planted"}, "error: the App's private key"},
		"an App with PEM around nonsense": {map[string]string{id: "1", installation: "2", private: inPEM(t, "RSA PRIVATE KEY", []byte("planted"), nil)}, "error: the App's private key"},
		"an App with a public key":        {map[string]string{id: "1", installation: "2", private: public}, "error: the App's private key"},
		"an App with a key that is no RSA": {
			map[string]string{id: "1", installation: "2", private: elliptic}, "error: the App's private key",
		},
	} {
		data := map[string][]byte{}
		for key, value := range test.data {
			data[key] = []byte(value)
		}
		c, err := FromSecret(data)
		var got string
		switch {
		case err != nil:
			got = "error: " + err.Error()
			if strings.Contains(got, "planted") {
				t.Errorf("%s: the error has what is in the Secret: %v", name, err)
			}
		case c.open().token != "":
			got = c.open().token
		default:
			got = fmt.Sprintf("App %s %d", c.open().app.ClientID, c.open().app.InstallationID)
		}
		if !strings.HasPrefix(got, test.want) || err == nil && got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
		if err == nil {
			if _, err := New(Access{URL: parsed(t, "https://github.com/acme"), Credentials: c}); err != nil {
				t.Errorf("%s: the library does not take them: %v", name, err)
			}
		}
	}
	if _, err := New(Access{URL: parsed(t, "https://github.com/acme")}); err == nil {
		t.Error("there is a client without credentials")
	}
}

// TestNothingPrintsCredentials tries every way to print that somebody may use without a thought.
func TestNothingPrintsCredentials(t *testing.T) {
	t.Parallel()
	const planted = "PlantedSecret"
	token, err := Token(planted)
	if err != nil {
		t.Fatal(err)
	}
	app := Credentials{func() secret { return secret{app: scaleset.GitHubAppAuth{ClientID: planted, PrivateKey: planted}} }}
	wrong := "%v: %w"    // with what is no error
	type hidden struct { // as a caller may keep them
		access Access
		list   []Credentials
		client *Client
	}
	for _, c := range []Credentials{token, app} {
		a := Access{URL: parsed(t, "https://github.com/acme"), Credentials: c}
		client, err := New(a)
		if err != nil {
			t.Fatal(err)
		}
		own := Own{URL: a.URL, Credentials: c}
		for _, value := range []any{
			c, &c, a, &a, own, &own, client,
			hidden{a, []Credentials{c}, client},
			&hidden{a, []Credentials{c}, client},
			[]Credentials{c},
			map[string]Credentials{"a": c},
			struct{ C any }{c},
		} {
			for _, verb := range "vdsqxXobcUeEfFgGtTpwOZ!" {
				for _, flags := range []string{"", "+", "#", " ", "-10", "0"} {
					if got := fmt.Sprintf("%"+flags+string(verb), value); strings.Contains(got, planted) || strings.Contains(strings.ToLower(got), "506c61") {
						t.Fatalf("%T: %%%s%c prints it: %s", value, flags, verb, got)
					}
				}
			}
			var out bytes.Buffer
			logger := zerolog.New(&out)
			logger.Info().Interface("a", value).Any("b", value).Msgf("%v", value)
			slog.New(slog.NewTextHandler(&out, nil)).Info("a", "value", value)
			slog.New(slog.NewJSONHandler(&out, nil)).Info("a", "value", value)
			fmt.Fprint(&out, value, errors.New(fmt.Sprint(value)), fmt.Errorf(wrong, value, value))
			func() {
				defer func() { fmt.Fprint(&out, recover()) }()
				panic(value)
			}()
			if text, err := json.Marshal(value); err == nil {
				out.Write(text)
			}
			if strings.Contains(out.String(), planted) {
				t.Fatalf("%T is printed: %s", value, &out)
			}
		}
	}
}
