package codec

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"

	"github.com/vmihailenco/msgpack/v5"
)

// document decodes data as what [Rewrite] calls a document.
func document(enc Encoding, data []byte) (map[string]any, error) {
	var v any
	var err error
	switch enc {
	case Msgpack:
		v, err = msgpackDocument(data)
	case JSON:
		v, err = jsonDocument(data)
	default:
		err = enc.Unmarshal(data, &v)
	}
	if err != nil {
		return nil, err
	}
	doc, ok := plain(v).(map[string]any)
	if !ok {
		return nil, errors.New("its data is no document: it is not a map from strings")
	}
	return doc, nil
}

func jsonDocument(data []byte) (v any, err error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if err = d.Decode(&v); err == nil && d.More() {
		err = errTrailing
	}
	return v, err
}

func msgpackDocument(data []byte) (v any, err error) {
	if err = plausible(data); err != nil {
		return nil, err
	}
	d := decoders.Get().(*decoder)
	d.reset(data)
	d.dec.SetMapDecoder(func(d *msgpack.Decoder) (any, error) { return d.DecodeUntypedMap() })
	err = decodeMsgpack(d, &v)
	d.release()
	return v, err
}

// plain gives numbers and maps the types that documents have.
func plain(v any) any {
	switch v := v.(type) {
	case int8:
		return int64(v)
	case int16:
		return int64(v)
	case int32:
		return int64(v)
	case uint8:
		return int64(v)
	case uint16:
		return int64(v)
	case uint32:
		return int64(v)
	case uint64:
		if v <= math.MaxInt64 {
			return int64(v)
		}
	case float32:
		return float64(v)
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
	case []any:
		for i := range v {
			v[i] = plain(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = plain(v[k])
		}
	case map[any]any:
		return plainMap(v)
	}
	return v
}

// plainMap returns a map[string]any if all keys are strings.
func plainMap(m map[any]any) any {
	doc := make(map[string]any, len(m))
	for k, v := range m {
		v = plain(v)
		m[k] = v
		if name, ok := k.(string); ok {
			doc[name] = v
		}
	}
	if len(doc) < len(m) {
		return m
	}
	return doc
}
