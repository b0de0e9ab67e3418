package node

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// environment resolves what the container declares, in its order.
func (c *container) environment(object *corev1.Pod, spec *corev1.Container) ([]corev1.EnvVar, error) {
	var env []corev1.EnvVar
	set := func(name, value string) {
		env = append(slices.DeleteFunc(env, func(v corev1.EnvVar) bool { return v.Name == name }),
			corev1.EnvVar{Name: name, Value: value})
	}
	for _, from := range spec.EnvFrom {
		var data map[string]string
		var err error
		switch {
		case from.SecretRef != nil:
			data, err = c.pod.secret(from.SecretRef.Name, from.SecretRef.Optional)
		case from.ConfigMapRef != nil:
			data, err = c.pod.configMap(from.ConfigMapRef.Name, from.ConfigMapRef.Optional)
		}
		if err != nil {
			return nil, err
		}
		for name, value := range data {
			set(from.Prefix+name, value)
		}
	}
	for _, v := range spec.Env {
		value, found, err := c.value(object, v, spec.Resources.Limits, env)
		if err != nil {
			return nil, fmt.Errorf("environment variable %s: %w", v.Name, err)
		}
		if found {
			set(v.Name, value)
		}
	}
	return env, nil
}

func (c *container) value(object *corev1.Pod, v corev1.EnvVar, limits corev1.ResourceList, known []corev1.EnvVar) (value string, found bool, err error) {
	from := v.ValueFrom
	switch {
	case from == nil:
		return expand(v.Value, known), true, nil
	case from.FieldRef != nil:
		value, err = field(object, from.FieldRef.FieldPath)
		return value, err == nil, err
	case from.SecretKeyRef != nil:
		ref := from.SecretKeyRef
		data, err := c.pod.secret(ref.Name, ref.Optional)
		return key2value(data, err, "secret "+ref.Name, ref.Key, ref.Optional)
	case from.ConfigMapKeyRef != nil:
		ref := from.ConfigMapKeyRef
		data, err := c.pod.configMap(ref.Name, ref.Optional)
		return key2value(data, err, "configmap "+ref.Name, ref.Key, ref.Optional)
	}
	if ref := from.ResourceFieldRef; ref != nil && ref.Resource == "limits.memory" {
		limit, divisor := limits.Memory().Value(), max(ref.Divisor.Value(), 1)
		return strconv.FormatInt((limit+divisor-1)/divisor, 10), true, nil
	}
	return "", false, fmt.Errorf("a source this node does not know")
}

func key2value(data map[string]string, err error, source, key string, optional *bool) (string, bool, error) {
	if err != nil {
		return "", false, err
	}
	value, ok := data[key]
	if !ok && !isTrue(optional) {
		return "", false, fmt.Errorf("%s has no key %q", source, key)
	}
	return value, ok, nil
}

// secret returns nothing for one that is missing but optional.
func (p *pod) secret(name string, optional *bool) (map[string]string, error) {
	secret, err := p.node.client.CoreV1().Secrets(p.namespace).Get(p.stopping, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) && isTrue(optional) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading secret %s: %w", name, err)
	}
	data := make(map[string]string, len(secret.Data))
	for key, value := range secret.Data {
		data[key] = string(value)
	}
	return data, nil
}

// configMap returns nothing for one that is missing but optional.
func (p *pod) configMap(name string, optional *bool) (map[string]string, error) {
	configMap, err := p.node.client.CoreV1().ConfigMaps(p.namespace).Get(p.stopping, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) && isTrue(optional) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading configmap %s: %w", name, err)
	}
	data := make(map[string]string, len(configMap.Data)+len(configMap.BinaryData))
	for key, value := range configMap.Data {
		data[key] = value
	}
	for key, value := range configMap.BinaryData {
		data[key] = string(value)
	}
	return data, nil
}

func isTrue(b *bool) bool { return b != nil && *b }

// field is the downward API.
func field(object *corev1.Pod, path string) (string, error) {
	for prefix, values := range map[string]map[string]string{
		"metadata.labels":      object.Labels,
		"metadata.annotations": object.Annotations,
	} {
		rest, ok := strings.CutPrefix(path, prefix)
		switch {
		case !ok:
		case rest == "":
			var lines []string
			for key, value := range values {
				lines = append(lines, fmt.Sprintf("%s=%q", key, value))
			}
			slices.Sort(lines)
			return strings.Join(lines, "\n"), nil
		default:
			return values[strings.TrimSuffix(strings.TrimPrefix(rest, "['"), "']")], nil
		}
	}
	switch path {
	case "metadata.name":
		return object.Name, nil
	case "metadata.namespace":
		return object.Namespace, nil
	case "metadata.uid":
		return string(object.UID), nil
	case "spec.nodeName":
		return name, nil
	case "spec.serviceAccountName":
		return object.Spec.ServiceAccountName, nil
	case "status.podIP", "status.podIPs", "status.hostIP", "status.hostIPs":
		return address, nil
	}
	return "", fmt.Errorf("field %s is not known to this node", path)
}

// expand replaces $(NAME) as Kubernetes does: $$ is a dollar, and what is not
// known stays as it is.
func expand(s string, env []corev1.EnvVar) string {
	var b strings.Builder
	for {
		before, after, found := strings.Cut(s, "$")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		if rest, ok := strings.CutPrefix(after, "$"); ok {
			b.WriteByte('$')
			s = rest
			continue
		}
		name, rest, closed := strings.Cut(strings.TrimPrefix(after, "("), ")")
		i := slices.IndexFunc(env, func(v corev1.EnvVar) bool { return v.Name == name })
		if !strings.HasPrefix(after, "(") || !closed || i < 0 {
			b.WriteByte('$')
			s = after
			continue
		}
		b.WriteString(env[i].Value)
		s = rest
	}
}
