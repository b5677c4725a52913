// Applies what the CRDs say with the code of Kubernetes' own API server (structural schemas, pruning, defaults,
// CEL and its cost limits), to the objects that the unit tests of trainingjob/ use: both must decide alike.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	v1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	apivalidation "k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"sigs.k8s.io/yaml"
)

type object = map[string]interface{}

// A row of invalid.yaml or updates.yaml.
type row struct {
	Phase   *string
	At      string
	Value   interface{}
	Remove  bool
	CRD     *bool
	Message string
}

type server struct {
	structural *schema.Structural
	validator  apivalidation.SchemaValidator
	cel        *cel.Validator
}

func main() {
	root := os.Args[1]
	jobs := newServer(filepath.Join(root, "crds/trainingjobs.yaml"))
	newServer(filepath.Join(root, "crds/trainingqueues.yaml"))
	folder := filepath.Join(root, "tests/unit/trainingjob")
	full := readObject(filepath.Join(folder, "full.yaml"))
	failed, count := 0, 0
	expect := func(what string, accepted bool, errs field.ErrorList) {
		count++
		if accepted != (len(errs) == 0) {
			failed++
			fmt.Printf("%s: accepted should be %v: %v\n", what, accepted, errs.ToAggregate())
		}
	}
	expect("full.yaml", true, jobs.admit(full, nil))
	expect("small.yaml", true, jobs.admit(readObject(filepath.Join(folder, "small.yaml")), nil))
	withStatus := runtime.DeepCopyJSON(full)
	status := readObject(filepath.Join(folder, "status.yaml"))
	withStatus["status"] = runtime.DeepCopyJSON(status)
	expect("status.yaml", true, jobs.admit(withStatus, nil))
	if !reflect.DeepEqual(withStatus["status"], interface{}(status)) {
		fmt.Println("status.yaml: the schema prunes something")
		failed++
	}
	for _, r := range readRows(filepath.Join(folder, "invalid.yaml")) {
		accepted := r.CRD != nil && !*r.CRD
		expect("invalid "+r.At, accepted, jobs.admit(changed(full, r), nil))
	}
	for _, r := range readRows(filepath.Join(folder, "updates.yaml")) {
		before := runtime.DeepCopyJSON(full)
		before["status"] = object{"phase": *r.Phase}
		expect("update "+*r.Phase+" "+r.At, r.Message == "", jobs.admit(changed(before, r), before))
	}
	fmt.Printf("%d objects, %d decided otherwise than by trainingjob/\n", count, failed)
	if failed > 0 {
		os.Exit(1)
	}
}

// Validates the CRD as the API server does when it is created.
func newServer(path string) *server {
	var crd v1.CustomResourceDefinition
	var internal apiextensions.CustomResourceDefinition
	must(yaml.UnmarshalStrict(read(path), &crd))
	v1.SetDefaults_CustomResourceDefinition(&crd)
	v1.SetDefaults_CustomResourceDefinitionSpec(&crd.Spec)
	must(v1.Convert_v1_CustomResourceDefinition_To_apiextensions_CustomResourceDefinition(&crd, &internal, nil))
	if errs := validation.ValidateCustomResourceDefinition(context.Background(), &internal); len(errs) > 0 {
		must(errs.ToAggregate())
	}
	validation := internal.Spec.Validation
	if validation == nil {
		validation = internal.Spec.Versions[0].Schema
	}
	structural, err := schema.NewStructural(validation.OpenAPIV3Schema)
	must(err)
	validator, _, err := apivalidation.NewSchemaValidator(validation.OpenAPIV3Schema)
	must(err)
	return &server{structural, validator, cel.NewValidator(structural, true, celconfig.PerCallLimit)}
}

// Prunes, defaults and validates `o` in place; `old` is nil for a creation.
func (s *server) admit(o, old object) field.ErrorList {
	s.prepare(o)
	errs := apivalidation.ValidateCustomResource(nil, o, s.validator)
	errs = append(errs, listtype.ValidateListSetsAndMaps(nil, s.structural, o)...)
	if len(errs) > 0 {
		return errs
	}
	var before interface{}
	if old != nil {
		old = runtime.DeepCopyJSON(old)
		s.prepare(old)
		before = old
	}
	errs, _ = s.cel.Validate(context.Background(), nil, s.structural, o, before, celconfig.RuntimeCELCostBudget)
	return errs
}

func (s *server) prepare(o object) {
	pruning.Prune(o, s.structural, true)
	defaulting.PruneNonNullableNullsWithoutDefaults(o, s.structural)
	defaulting.Default(o, s.structural)
}

// A copy of `o` with the row's change at its JSON pointer.
func changed(o object, r row) object {
	copied := runtime.DeepCopyJSON(o)
	steps := strings.Split(r.At, "/")[1:]
	var at interface{} = copied
	for i, step := range steps {
		step = strings.NewReplacer("~1", "/", "~0", "~").Replace(step)
		last := i == len(steps)-1
		switch node := at.(type) {
		case object:
			if last && r.Remove {
				delete(node, step)
			} else if last {
				node[step] = r.Value
			}
			at = node[step]
		case []interface{}:
			var index int
			_, err := fmt.Sscanf(step, "%d", &index)
			must(err)
			if last {
				node[index] = r.Value
			}
			at = node[index]
		}
	}
	return copied
}

func read(path string) []byte {
	bytes, err := os.ReadFile(path)
	must(err)
	return bytes
}

// Whole numbers become int64, as in the API server.
func readObject(path string) object {
	var o object
	bytes, err := yaml.YAMLToJSON(read(path))
	must(err)
	must(json.Unmarshal(bytes, &o))
	return o
}

func readRows(path string) []row {
	var list []interface{}
	var rows []row
	bytes, err := yaml.YAMLToJSON(read(path))
	must(err)
	must(json.Unmarshal(bytes, &list))
	must(yaml.Unmarshal(bytes, &rows))
	for i := range rows {
		rows[i].Value = list[i].(object)["value"]
	}
	return rows
}

func must(err error) {
	if err != nil {
		fmt.Println(err)
		os.Exit(2)
	}
}
