package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// maxLine is the longest line that an import reads. A command has at most a
// few kilobytes; more is a mistake in the file, not in the shop.
const maxLine = 1 << 20

// errLongLine is what is wrong with a longer line.
var errLongLine = errors.New("longer than 1 MiB")

var utf8BOM = []byte("\xef\xbb\xbf")

// lineReader reads lines of any length in bounded memory.
type lineReader struct {
	src  *bufio.Reader
	line int
	read int64 // bytes so far
}

func newLineReader(r io.Reader) *lineReader {
	return &lineReader{src: bufio.NewReaderSize(r, 256<<10)}
}

// next returns the next line that is not blank, without its ending, and sets
// its number. The line is valid until the following call. A line that is too
// long is skipped and errLongLine returned for it; after the last line comes
// io.EOF.
func (r *lineReader) next() ([]byte, error) {
	for {
		line, err := r.raw()
		if errors.Is(err, errLongLine) {
			return nil, err
		}
		if r.line == 1 {
			line = bytes.TrimPrefix(line, utf8BOM)
		}
		if line = bytes.TrimSpace(line); len(line) > 0 {
			return line, nil // an error of the reader comes again
		}
		if err != nil {
			return nil, err
		}
	}
}

func (r *lineReader) raw() ([]byte, error) {
	r.line++
	part, err := r.src.ReadSlice('\n')
	r.read += int64(len(part))
	if !errors.Is(err, bufio.ErrBufferFull) {
		return whole(part, err)
	}
	line := bytes.Clone(part)
	for errors.Is(err, bufio.ErrBufferFull) {
		part, err = r.src.ReadSlice('\n')
		r.read += int64(len(part))
		if len(line)+len(part) <= maxLine+2 {
			line = append(line, part...)
		} else {
			line = line[:maxLine+1] // only its length is still of interest
		}
	}
	if len(bytes.TrimRight(line, "\r\n")) > maxLine && (err == nil || errors.Is(err, io.EOF)) {
		return nil, errLongLine
	}
	return whole(line, err)
}

// whole drops what was read of a line when the reader failed within it.
func whole(line []byte, err error) ([]byte, error) {
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return line, err
}
