package github

// Own are credentials that a person gives for a run. A scale set names the server that its controller talks to, and
// with that whoever may write a scale set would get them, so they are for one place only.
type Own struct {
	// URL is what they are for: they go to no scale set elsewhere. Without one they are for every place that GitHub hosts.
	URL ConfigURL
	Credentials
}

// For returns the Access with which to de-register a scale set of this URL; false if the credentials are not for it.
// The proxy and the certificate authorities are those of the machine: a scale set's own could show the credentials to
// whoever wrote it.
func (o *Own) For(u ConfigURL) (Access, bool) {
	switch {
	case o == nil:
		return Access{}, false
	case o.URL.host == "" && !u.Hosted():
		return Access{}, false
	case o.URL.host != "" && !o.URL.Covers(u):
		return Access{}, false
	}
	return Access{URL: u, Credentials: o.Credentials}, true
}
