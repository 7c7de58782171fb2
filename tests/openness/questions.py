"""Asks three questions of the blocks in a folder, by DuckDB and by pyarrow.

Usage: questions.py STORE VIEW.sql [status code]. Prints one JSON object.
The view is the one of docs/format.md, with the folder put in.
"""

import json
import pathlib
import sys

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

STATUS = 'attr.int.http.response.status_code'
NAMESPACE = 'k8s.namespace.name'


def ask_duckdb(view):
    database = duckdb.connect()
    database.execute(view)
    one = lambda question: database.execute(question).fetchall()
    return {
        'status_500': one(f'SELECT count(*) FROM spans WHERE "{STATUS}" = 500')[0][0],
        'per_namespace': dict(
            one(f"SELECT resource_attributes->>'{NAMESPACE}', count(*) FROM spans GROUP BY 1")
        ),
        'children': one(
            'SELECT count(*) FROM spans child JOIN spans parent'
            ' ON child.trace_id = parent.trace_id AND child.parent_span_id = parent.span_id'
        )[0][0],
    }


def ask_pyarrow(store):
    status_500, children, per_namespace = 0, 0, {}
    parents_elsewhere, ids = [], []
    for block in sorted((store / 'blk').iterdir()):
        spans = pq.read_table(block / 'spans.parquet', page_checksum_verification=True)
        origins = pq.read_table(block / 'origins.parquet', page_checksum_verification=True)
        status_500 += pc.sum(pc.equal(spans[STATUS], 500)).as_py() or 0
        namespace = {
            row['origin_id']: json.loads(row['resource_attributes']).get(NAMESPACE) for row in origins.to_pylist()
        }
        for pair in pc.value_counts(spans['origin_id'].combine_chunks()).to_pylist():
            key = namespace[pair['values']]
            per_namespace[key] = per_namespace.get(key, 0) + pair['counts']
        # A parent in the same block is named by its place, any other by its id.
        keys = spans.select(['trace_id', 'seq'])
        links = spans.select(['trace_id', 'parent_seq']).filter(pc.is_valid(spans['parent_seq']))
        children += links.join(
            keys, keys=['trace_id', 'parent_seq'], right_keys=['trace_id', 'seq'], join_type='inner'
        ).num_rows
        parents_elsewhere.append(
            spans.select(['trace_id', 'parent_span_id']).filter(pc.is_valid(spans['parent_span_id']))
        )
        ids.append(spans.select(['trace_id', 'span_id']))
    children += (
        pa.concat_tables(parents_elsewhere)
        .join(
            pa.concat_tables(ids),
            keys=['trace_id', 'parent_span_id'],
            right_keys=['trace_id', 'span_id'],
            join_type='inner',
        )
        .num_rows
    )
    return {'status_500': status_500, 'per_namespace': per_namespace, 'children': children}


store = pathlib.Path(sys.argv[1])
view = pathlib.Path(sys.argv[2]).read_text()
print(json.dumps({'duckdb': ask_duckdb(view), 'pyarrow': ask_pyarrow(store)}))
