package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/pflag"

	"github.com/arc-cleanup/arc-cleanup/internal/github"
)

// tokenVariable holds a token for GitHub. There is no flag for the token itself: other users of a machine see the flags of
// its processes.
const tokenVariable = environment + "GITHUB_TOKEN"

// githubFlags are a person's credentials for GitHub.
type githubFlags struct {
	url                       string
	tokenFile                 string
	app, installation, appKey string
}

func (g *githubFlags) register(f *pflag.FlagSet) {
	f.StringVar(&g.tokenFile, "github-token-file", "", "file with a token for GitHub; the token itself can be in "+tokenVariable)
	f.StringVar(&g.app, "github-app-id", "", "ID or client ID of a GitHub App, in place of a token")
	f.StringVar(&g.installation, "github-app-installation-id", "", "ID of the App's installation")
	f.StringVar(&g.appKey, "github-app-private-key-file", "", "file with the App's private key, in PEM")
}

// own reads the credentials; nil if there are none.
func (g *githubFlags) own(urlFlag string) (*github.Own, error) {
	own := &github.Own{}
	app, err := g.hasApp()
	if err != nil {
		return nil, err
	}
	if g.url != "" {
		if own.URL, err = github.ParseConfigURL(g.url); err != nil {
			return nil, fmt.Errorf("%s: %w", urlFlag, err)
		}
	}
	token, err := g.token()
	switch {
	case err != nil:
		return nil, err
	case app && token != "":
		return nil, errors.New("you gave a token and an App: give one")
	case token != "":
		own.Credentials, err = github.Token(token)
	case app:
		var key string
		if key, err = readSmall(g.appKey); err != nil {
			return nil, fmt.Errorf("--github-app-private-key-file: %w", err)
		}
		own.Credentials, err = github.App(g.app, g.installation, key)
	case g.url != "" && urlFlag != "--url":
		return nil, fmt.Errorf("%s says what your credentials for GitHub are for; give them: --github-token-file, --github-app-id, or %s", urlFlag, tokenVariable)
	default:
		return nil, nil //nolint:nilnil // there are none
	}
	if err != nil {
		return nil, fmt.Errorf("credentials for GitHub: %w", err)
	}
	return own, nil
}

// token reads the token; "" if none is given.
func (g *githubFlags) token() (string, error) {
	if g.tokenFile == "" {
		return os.Getenv(tokenVariable), nil
	}
	token, err := readSmall(g.tokenFile)
	if err == nil && token == "" {
		err = errors.New("the file is empty")
	}
	if err != nil {
		return "", fmt.Errorf("--github-token-file: %w", err)
	}
	return token, nil
}

// hasApp reports whether an App is given. It takes three flags.
func (g *githubFlags) hasApp() (bool, error) {
	var given, missing []string
	for _, flag := range []struct{ name, value string }{
		{"--github-app-id", g.app},
		{"--github-app-installation-id", g.installation},
		{"--github-app-private-key-file", g.appKey},
	} {
		if flag.value != "" {
			given = append(given, flag.name)
		} else {
			missing = append(missing, flag.name)
		}
	}
	if len(given) > 0 && len(missing) > 0 {
		return false, fmt.Errorf("%s also needs %s", given[0], strings.Join(missing, " and "))
	}
	return len(given) > 0, nil
}

// maxCredentials limits a file with credentials, in bytes.
const maxCredentials = 64 << 10

func readSmall(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", withoutPath(err)
	}
	defer f.Close() //nolint:errcheck // it was only read
	content, err := io.ReadAll(io.LimitReader(f, maxCredentials+1))
	switch {
	case err != nil:
		return "", withoutPath(err)
	case len(content) > maxCredentials:
		return "", errors.New("the file is too large for credentials")
	}
	return string(content), nil
}

// withoutPath says what failed without the file's name: who gives the token or the key in its place must not read it in a log.
func withoutPath(err error) error {
	var path *os.PathError
	if errors.As(err, &path) {
		return fmt.Errorf("could not %s this file: %w", path.Op, path.Err)
	}
	return err
}
