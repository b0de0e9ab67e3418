package github

import (
	"context"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"slices"
	"sync"
	"time"
)

// Proxy is a running forward proxy: CONNECT for HTTPS, and plain HTTP.
type Proxy struct {
	server   *http.Server
	listener net.Listener
	user     string
	password string
	plain    *httputil.ReverseProxy

	mu     sync.Mutex
	routes map[string]string // addresses by host name
	asked  []ProxyCall
	conns  map[net.Conn]bool // tunnels, which the server no longer knows
}

// ProxyCall is what a client asked of a proxy.
type ProxyCall struct {
	Method string
	Host   string // with the port, where the client named one
	Status int    // the proxy's own: 200 where it passed the request on
}

// StartProxy serves on a free port of an address. It asks for a password if user
// is not empty.
//
// Go's clients, and with them ARC, use no proxy for 127.0.0.1: give the server a
// name with Route.
func StartProxy(host, user, password string) (*Proxy, error) {
	listener, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		return nil, fmt.Errorf("starting the proxy: %w", err)
	}
	p := &Proxy{listener: listener, user: user, password: password, routes: map[string]string{}, conns: map[net.Conn]bool{}}
	p.plain = &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.Out.Host = r.In.Host },
		Transport: &http.Transport{DialContext: p.dial, DisableKeepAlives: true},
		ErrorLog:  log.New(io.Discard, "", 0),
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) {
			http.Error(w, BodyMarker, http.StatusBadGateway)
		},
	}
	p.server = newServer(http.HandlerFunc(p.serve))
	go p.server.Serve(listener) //nolint:errcheck // ends with Close
	return p, nil
}

// URL is the proxy's address, without credentials.
func (p *Proxy) URL() string { return "http://" + p.listener.Addr().String() }

// Route makes the proxy send every port of a host name to a stand-in. Without the
// proxy, the name is unknown.
func (p *Proxy) Route(name string, to *StandIn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.routes[name] = to.listener.Addr().String()
}

// Asked returns what was asked so far, oldest first. Refused requests are there too.
func (p *Proxy) Asked() []ProxyCall {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.asked)
}

// Close ends the server and every tunnel.
func (p *Proxy) Close() error {
	err := p.server.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	for conn := range p.conns {
		conn.Close() //nolint:errcheck // the other end may have closed it
	}
	return err
}

func (p *Proxy) serve(w http.ResponseWriter, r *http.Request) {
	if !p.allowed(r) {
		w.Header().Set("Proxy-Authenticate", `Basic realm="stand-in"`)
		p.note(r, http.StatusProxyAuthRequired)
		http.Error(w, BodyMarker, http.StatusProxyAuthRequired)
		return
	}
	if r.Method != http.MethodConnect {
		p.note(r, http.StatusOK)
		p.plain.ServeHTTP(w, r)
		return
	}
	target, err := p.dial(r.Context(), "tcp", r.Host)
	if err != nil {
		p.note(r, http.StatusBadGateway)
		http.Error(w, BodyMarker, http.StatusBadGateway)
		return
	}
	p.note(r, http.StatusOK)
	p.tunnel(w, target)
}

func (p *Proxy) allowed(r *http.Request) bool {
	want := "Basic " + base64.StdEncoding.EncodeToString([]byte(p.user+":"+p.password))
	return p.user == "" || subtle.ConstantTimeCompare([]byte(want), []byte(r.Header.Get("Proxy-Authorization"))) == 1
}

func (p *Proxy) note(r *http.Request, status int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked = append(p.asked, ProxyCall{Method: r.Method, Host: r.Host, Status: status})
}

func (p *Proxy) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	if to, ok := p.routes[host]; ok {
		address = to
	}
	p.mu.Unlock()
	return (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, network, address)
}

// tunnel copies both ways until one end closes.
func (p *Proxy) tunnel(w http.ResponseWriter, target net.Conn) {
	client, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		target.Close() //nolint:errcheck // the client has gone
		return
	}
	p.keep(true, client, target)
	defer p.keep(false, client, target)
	if _, err := io.WriteString(client, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		return
	}
	done := make(chan struct{}, 2)
	pipe := func(to io.Writer, from io.Reader) {
		io.Copy(to, from) //nolint:errcheck // an end that closes is how it ends
		done <- struct{}{}
	}
	go pipe(target, buffered)
	go pipe(client, target)
	<-done
}

// keep holds connections for Close, or closes and forgets them.
func (p *Proxy) keep(open bool, conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, conn := range conns {
		if open {
			p.conns[conn] = true
		} else {
			delete(p.conns, conn)
			conn.Close() //nolint:errcheck // the other end may have closed it
		}
	}
}
