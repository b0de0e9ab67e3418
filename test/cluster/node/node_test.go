package node

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

func TestRepository(t *testing.T) {
	for image, want := range map[string]string{
		"busybox":                             "busybox",
		"example.com/a/b:v1":                  "example.com/a/b",
		"example.com:5000/a":                  "example.com:5000/a",
		"example.com:5000/a:v1@sha256:abcdef": "example.com:5000/a",
	} {
		if got := repository(image); got != want {
			t.Errorf("repository(%q) = %q, want %q", image, got, want)
		}
	}
}

func TestExpand(t *testing.T) {
	env := []corev1.EnvVar{{Name: "A", Value: "1"}, {Name: "B", Value: "$(A)"}}
	for text, want := range map[string]string{
		"plain":         "plain",
		"$(A)-$(B)":     "1-$(A)", // values were expanded when they were declared
		"$$(A) $$":      "$(A) $",
		"$(C) $A $( $":  "$(C) $A $( $",
		"price: 5$(A)$": "price: 51$",
	} {
		if got := expand(text, env); got != want {
			t.Errorf("expand(%q) = %q, want %q", text, got, want)
		}
	}
}

func TestRewrite(t *testing.T) {
	paths := []pathPair{{"/etc/app", "/pod/etc/app"}, {"/etc/app/deep", "/pod/deep"}, {"/dev/termination-log", "/pod/log"}}
	for text, want := range map[string]string{
		"/etc/app":                       "/pod/etc/app",
		"--config=/etc/app/config.json":  "--config=/pod/etc/app/config.json",
		"/etc/app/deep/x:/etc/app/other": "/pod/deep/x:/pod/etc/app/other",
		"/etc/application /my/etc/app":   "/etc/application /my/etc/app",
		"echo x >/dev/termination-log":   "echo x >/pod/log",
		"https://example.com/etc/app":    "https://example.com/etc/app",
	} {
		if got := rewrite(text, paths); got != want {
			t.Errorf("rewrite(%q) = %q, want %q", text, got, want)
		}
	}
}

func TestLastLines(t *testing.T) {
	const text = "one\ntwo\nthree\n"
	for lines, want := range map[int]string{0: "", 1: "three\n", 2: "two\nthree\n", 3: text, 9: text} {
		if got := string(lastLines([]byte(text), lines)); got != want {
			t.Errorf("lastLines(%d) = %q, want %q", lines, got, want)
		}
	}
}

// The memory limit of the container, in units of the divisor, rounded up.
func TestMemoryLimit(t *testing.T) {
	for limit, want := range map[string]string{"128Mi": "128", "1Gi": "1024", "1M": "1", "0": "0"} {
		spec := &corev1.Container{
			Resources: corev1.ResourceRequirements{Limits: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse(limit)}},
			Env: []corev1.EnvVar{
				{Name: "M", ValueFrom: &corev1.EnvVarSource{ResourceFieldRef: &corev1.ResourceFieldSelector{Resource: "limits.memory", Divisor: resource.MustParse("1Mi")}}},
				{Name: "B", Value: "$(M)000000"},
			},
		}
		env, err := (&container{}).environment(&corev1.Pod{}, spec)
		if err != nil || len(env) != 2 || env[0].Value != want || env[1].Value != want+"000000" {
			t.Errorf("%s: %v, %v", limit, env, err)
		}
	}
}
