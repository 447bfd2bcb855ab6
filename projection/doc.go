// Package projection builds views from events and keeps them level with the
// event store.
package projection
