// Package shred is about personal data in events, which is encrypted with a
// key for each data subject, so that to delete the key is to erase the data.
package shred
