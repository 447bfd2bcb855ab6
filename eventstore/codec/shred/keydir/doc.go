// Package keydir keeps the keys of data subjects in a directory: the store of
// keys for package shred that needs no service.
//
// # What is in the directory
//
//	store        the version of the format and a salt
//	3f/3f2a9c…   one file for each subject, named by a salted hash of its id
//	tmp/         files that are being written
//
// A file has one record of 128 bytes for each key that the subject has had. The
// last is current, and earlier ones are erased, see record.go. With a master
// key the keys are encrypted (AES-256-GCM) and the directory alone is worth
// nothing; without one, whoever reads the directory reads the keys. Files can
// be read by their owner only.
//
// # What holds
//
// A key is on the disk before it is handed out for writing, and its erasure is
// before [Dir.Erase] returns; a crash or a kill at any moment leaves each
// subject as it was before or after. Any number of processes may have the
// directory open: there is no lock but a short one on the file of a subject
// that is changed, and no index to go stale.
//
// Erasing overwrites the key where it is. A file system that copies on write, a
// disk that moves blocks, a snapshot and a backup may all keep what was there
// before: keep the directory out of snapshots, its backups short-lived, and use
// a master key that is not kept beside it. Whoever puts a backup of the
// directory back has to erase again who was erased since; the events that say so
// are in the log.
package keydir
