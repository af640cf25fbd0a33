"""The spool: texts on disk in exactly the bytes that CPython keeps in memory.

A `str` of CPython (PEP 393) holds its characters in 1, 2 or 4 bytes each, as the
widest of them needs. The spool writes every text that way once, so that a
sandbox can map the file and put a `str` header before it, without a copy.

    <cache>/spool/
        3f9c…/             one prompt, named by a digest of its sources
            lock           held shared by whoever uses the prompt
            manifest.json  `index.Manifest`: regions, totals, identity; written last
            text-0 …       a text of its own file, from byte 0
            pack           small texts together (see `writer`)
            names/ table/  the documents, in mmap-ninja's format
        draft-x7…/         being written, or private to one process

`sources` says what the user named, `records` what a JSONL file holds, `lines` reads
it, `utf8` checks and decodes, `identity` tells the content from any other, `files`
copies and writes, `textfile` holds one text, `writer` lays all of them out, `index` is
the table of documents, and `store` owns the folders' lives.
"""
