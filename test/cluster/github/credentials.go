package github

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v4"
	"github.com/google/uuid"
)

// SecretMarker is in every token that the stand-in hands out. It has only letters:
// URLs and JSON do not change them.
const SecretMarker = "TheStandInSecret"

// purpose is what a token is good for.
type purpose string

const (
	toRegister purpose = "registration"
	toAccess   purpose = "access" // an App's token
	toServe    purpose = "service"
	toRun      purpose = "run" // a runner's JIT configuration
)

// App is a GitHub App and its installation.
type App struct {
	ClientID     string // the App's id will do
	Installation int64
	Key          *rsa.PrivateKey
}

// NewApp makes an App with a key of its own.
func NewApp(clientID string, installation int64) (App, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return App{}, fmt.Errorf("making the key of an App: %w", err)
	}
	return App{ClientID: clientID, Installation: installation, Key: key}, nil
}

// PrivateKey is the key as GitHub hands it out.
func (a App) PrivateKey() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(a.Key)}))
}

// signed says that the App signed a JWT, and that it has not expired.
func (a App) signed(text string) bool {
	claims := &jwt.RegisteredClaims{}
	_, err := jwt.ParseWithClaims(text, claims, func(*jwt.Token) (any, error) { return &a.Key.PublicKey, nil },
		jwt.WithValidMethods([]string{jwt.SigningMethodRS256.Name}))
	return err == nil && claims.Issuer == a.ClientID && claims.ExpiresAt != nil
}

// credentials are those that are required, and those that were handed out. Their lock
// is their own: handlers take tokens while they hold the stand-in's.
type credentials struct {
	mu      sync.Mutex
	token   string
	app     *App
	issued  map[string]purpose
	secrets []string // oldest first
}

// RequireToken makes the stand-in answer 401 unless a request has this token, or what
// was handed out for a token. It replaces RequireApp.
func (s *StandIn) RequireToken(token string) { s.require(token, nil) }

// RequireApp makes the stand-in answer 401 unless a request has a JWT that this App
// signed, or what was handed out for one. It replaces RequireToken.
func (s *StandIn) RequireApp(app App) { s.require("", &app) }

func (s *StandIn) require(token string, app *App) {
	s.credentials.mu.Lock()
	defer s.credentials.mu.Unlock()
	s.credentials.token, s.credentials.app = token, app
}

// Secrets returns every token that was ever handed out, oldest first.
func (s *StandIn) Secrets() []string {
	s.credentials.mu.Lock()
	defer s.credentials.mu.Unlock()
	return slices.Clone(s.credentials.secrets)
}

// AdminBody is a body for RunnerRegistration. Its JWT expires at the given time; with
// the zero time it has no "exp".
func (s *StandIn) AdminBody(expires time.Time) string {
	claims := map[string]int64{}
	if !expires.IsZero() {
		claims["exp"] = expires.Unix()
	}
	body, err := json.Marshal(map[string]string{"url": s.URL() + tenant, "token": s.credentials.issueJWT(claims)})
	if err != nil {
		panic(err) // strings
	}
	return string(body)
}

func (c *credentials) issue(of purpose) string {
	return c.note(SecretMarker+strings.ReplaceAll(uuid.NewString(), "-", ""), of)
}

// issueService hands out a JWT that does not expire during a test.
func (c *credentials) issueService() string {
	return c.issueJWT(map[string]int64{"exp": time.Now().Add(30 * 24 * time.Hour).Unix()})
}

// issueJWT hands out a JWT. Its signature is the marked text: no client checks it.
func (c *credentials) issueJWT(claims map[string]int64) string {
	part := func(v any) string {
		text, err := json.Marshal(v)
		if err != nil {
			panic(err) // numbers and strings
		}
		return base64.RawURLEncoding.EncodeToString(text)
	}
	signature := SecretMarker + strings.ReplaceAll(uuid.NewString(), "-", "") // valid base64
	return c.note(part(map[string]string{"alg": "HS256", "typ": "JWT"})+"."+part(claims)+"."+signature, toServe)
}

func (c *credentials) note(secret string, of purpose) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.issued == nil {
		c.issued = map[string]purpose{}
	}
	c.issued[secret] = of
	c.secrets = append(c.secrets, secret)
	return secret
}

// authorised answers 401 where credentials are required and the request has others.
func (s *StandIn) authorised(kind Request, next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		switch {
		case s.credentials.good(kind, r.Header.Get("Authorization")):
			next(w, r)
		case strings.HasPrefix(r.URL.Path, restAPI):
			failREST(w, http.StatusUnauthorized, "Bad credentials")
		default:
			fail(w, http.StatusUnauthorized, "UnauthorizedException")
		}
	}
}

func (c *credentials) good(kind Request, header string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.token == "" && c.app == nil {
		return true
	}
	scheme, value, _ := strings.Cut(header, " ")
	switch kind {
	case AppAccessToken:
		return scheme == "Bearer" && c.app != nil && c.app.signed(value)
	case RegistrationToken, ListLegacyRunners, DeleteLegacyRunner:
		if c.app != nil {
			return scheme == "Bearer" && c.issued[value] == toAccess
		}
		return scheme == "Bearer" && value == c.token
	case RunnerRegistration:
		return scheme == "RemoteAuth" && c.issued[value] == toRegister
	default:
		return scheme == "Bearer" && c.issued[value] == toServe
	}
}

func (s *StandIn) registrationToken(w http.ResponseWriter, _ *http.Request) {
	s.replyToken(w, toRegister)
}

func (s *StandIn) appAccessToken(w http.ResponseWriter, r *http.Request) {
	s.credentials.mu.Lock()
	app := s.credentials.app
	s.credentials.mu.Unlock()
	if app != nil && r.PathValue("installation") != strconv.FormatInt(app.Installation, 10) {
		failREST(w, http.StatusNotFound, "Not Found")
		return
	}
	s.replyToken(w, toAccess)
}

func (s *StandIn) replyToken(w http.ResponseWriter, of purpose) {
	reply(w, http.StatusCreated, map[string]any{"token": s.credentials.issue(of), "expires_at": time.Now().Add(time.Hour)})
}

func (s *StandIn) runnerRegistration(w http.ResponseWriter, r *http.Request) {
	reply(w, http.StatusOK, map[string]string{"url": s.base(r) + tenant, "token": s.credentials.issueService()})
}
