// Package github de-registers scale sets and runners at GitHub, for clusters in which no controller of ARC can.
// It stands in front of GitHub's own client, github.com/actions/scaleset. The errors of that client quote what the
// server answered, tokens included, so this package never passes them on: what it says holds nothing that a server
// sent or that a Secret contains.
package github

import (
	"errors"
	"net/url"
	"strings"
)

// ConfigURL is the githubConfigUrl of a scale set: the organisation, the repository or the enterprise in which it
// is registered.
type ConfigURL struct {
	scheme, host string
	path         []string
}

// wantURL says what a config URL looks like.
const wantURL = "want https://HOST/ORG, https://HOST/OWNER/REPO or https://HOST/enterprises/NAME"

// ParseConfigURL parses a config URL. Its errors do not contain the text, which may contain a password.
func ParseConfigURL(text string) (ConfigURL, error) {
	u, err := url.Parse(strings.Trim(text, "/"))
	switch {
	case err != nil:
		return ConfigURL{}, errors.New("this is no URL: " + wantURL)
	case u.Scheme != "https" && u.Scheme != "http":
		return ConfigURL{}, errors.New("the URL does not begin with https://: " + wantURL)
	case u.User != nil:
		return ConfigURL{}, errors.New("the URL contains a user or a password: " + wantURL)
	case u.Host == "", u.RawQuery != "", u.Fragment != "":
		return ConfigURL{}, errors.New("the URL is not that of an organisation, a repository or an enterprise: " + wantURL)
	}
	path := strings.Split(strings.Trim(u.Path, "/"), "/")
	if len(path) > 2 || strings.Contains(strings.Join(path, " ")+" ", ". ") || path[0] == "" || path[len(path)-1] == "" {
		return ConfigURL{}, errors.New("the URL is not that of an organisation, a repository or an enterprise: " + wantURL)
	}
	return ConfigURL{u.Scheme, strings.ToLower(u.Host), path}, nil
}

func (c ConfigURL) String() string {
	return (&url.URL{Scheme: c.scheme, Host: c.host, Path: "/" + strings.Join(c.path, "/")}).String()
}

// Server is the scheme, the server's name, and its port if it has one.
func (c ConfigURL) Server() string { return c.scheme + "://" + c.host }

// Covers reports whether credentials for c are meant for other too: for the same place, or for a repository of
// the organisation.
func (c ConfigURL) Covers(other ConfigURL) bool {
	if c.scheme != other.scheme || c.host != other.host || len(c.path) > len(other.path) || len(c.path) < len(other.path) && other.isEnterprise() {
		return false
	}
	for i, part := range c.path {
		if !strings.EqualFold(part, other.path[i]) {
			return false
		}
	}
	return true
}

func (c ConfigURL) isEnterprise() bool {
	return len(c.path) == 2 && strings.EqualFold(c.path[0], "enterprises")
}

// Hosted reports whether the server is GitHub's own, and no server that anybody can set up.
func (c ConfigURL) Hosted() bool {
	return c.scheme == "https" && (c.host == "github.com" || c.host == "www.github.com" || strings.HasSuffix(c.host, ".ghe.com"))
}

// rights says what GitHub wants of credentials for the place. See
// https://docs.github.com/en/actions/how-tos/manage-runners/use-actions-runner-controller/authenticate-to-the-api.
func (c ConfigURL) rights() string {
	switch {
	case c.isEnterprise():
		return "an enterprise needs a classic token with manage_runners:enterprise"
	case len(c.path) == 2:
		return `a repository needs an App with "Administration: read and write", or a classic token with repo`
	}
	return `an organisation needs an App with "Self-hosted runners: read and write", or a classic token with admin:org`
}
