package core

import "sort"

// changeLog is a list of changes, in the order of seq. It consists of chunks, so that
// appending to a list of a million changes does not copy it.
type changeLog struct {
	chunks [][]change
	n      int
}

const chunkLen = 4096

func (l *changeLog) at(i int) *change { return &l.chunks[i/chunkLen][i%chunkLen] }

func (l *changeLog) append(c change) {
	if l.n == len(l.chunks)*chunkLen {
		l.chunks = append(l.chunks, make([]change, chunkLen))
	}
	*l.at(l.n) = c
	l.n++
}

// after returns the index of the first change after this seq.
func (l *changeLog) after(seq uint64) int {
	return sort.Search(l.n, func(i int) bool { return l.at(i).at > seq })
}

// deleteFunc removes the changes for which remove returns true.
func (l *changeLog) deleteFunc(remove func(change) bool) {
	kept := 0
	for i := range l.n {
		if c := *l.at(i); !remove(c) {
			*l.at(kept) = c
			kept++
		}
	}
	chunks := (kept + chunkLen - 1) / chunkLen
	clear(l.chunks[chunks:])
	l.chunks, l.n = l.chunks[:chunks], kept
	for i := kept; i < chunks*chunkLen; i++ {
		*l.at(i) = change{} // release the record
	}
}
