package github

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/actions/scaleset"
)

// Credentials are a personal access token, or those of a GitHub App. Nothing prints them. They are in a function,
// because fmt looks behind a pointer, and asks no method of what is in an unexported field.
type Credentials struct{ open func() secret }

type secret struct {
	token string
	app   scaleset.GitHubAppAuth
}

// Format implements fmt.Formatter for every verb.
func (Credentials) Format(f fmt.State, _ rune) {
	io.WriteString(f, "(credentials)") //nolint:errcheck // fmt has no place for an error
}

// MarshalText implements encoding.TextMarshaler, also for JSON.
func (Credentials) MarshalText() ([]byte, error) { return []byte("(credentials)"), nil }

// The keys of the Secret that githubConfigSecret names
// (charts/gha-runner-scale-set/templates/githubsecret.yaml).
const (
	keyToken        = "github_token"
	keyAppID        = "github_app_id"
	keyInstallation = "github_app_installation_id"
	keyPrivateKey   = "github_app_private_key"
)

// SecretKeys are the keys that FromSecret reads.
func SecretKeys() []string { return []string{keyToken, keyAppID, keyInstallation, keyPrivateKey} }

// FromSecret reads the credentials from the data of the Secret that githubConfigSecret names. As for ARC, a token
// goes before an App.
func FromSecret(data map[string][]byte) (Credentials, error) {
	if token := string(data[keyToken]); token != "" {
		return Token(token)
	}
	if len(data[keyAppID])+len(data[keyInstallation])+len(data[keyPrivateKey]) == 0 {
		return Credentials{}, fmt.Errorf("it has neither %s nor %s", keyToken, keyAppID)
	}
	return App(string(data[keyAppID]), string(data[keyInstallation]), string(data[keyPrivateKey]))
}

// Token returns the credentials of a personal access token.
func Token(token string) (Credentials, error) {
	token = strings.TrimSpace(token)
	if token == "" || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return Credentials{}, errors.New("the token is empty, or contains characters that no token has")
	}
	return Credentials{func() secret { return secret{token: token} }}, nil
}

// App returns the credentials of a GitHub App: its ID or client ID, the ID of its installation, and its private
// key in PEM.
func App(id, installation, key string) (Credentials, error) {
	id = strings.TrimSpace(id)
	number, err := strconv.ParseInt(strings.TrimSpace(installation), 10, 64)
	switch {
	case id == "":
		return Credentials{}, errors.New("the ID of the App is missing")
	case err != nil || number <= 0:
		return Credentials{}, errors.New("the ID of the App's installation is not a number")
	case !isRSAKey(key):
		return Credentials{}, errors.New("the App's private key is not an RSA key in PEM")
	}
	app := scaleset.GitHubAppAuth{ClientID: id, InstallationID: number, PrivateKey: key}
	return Credentials{func() secret { return secret{app: app} }}, nil
}

func isRSAKey(text string) bool {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return false
	}
	if _, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return true
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	_, isRSA := key.(*rsa.PrivateKey)
	return err == nil && isRSA
}
