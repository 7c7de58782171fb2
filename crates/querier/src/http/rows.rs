//! Rows as JSON, lines of JSON, CSV and an Arrow stream: piece by piece, as they come.

use std::borrow::Cow;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, StringArray};
use datafusion::arrow::csv;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::ipc::writer::StreamWriter;
use datafusion::arrow::json::WriterBuilder;
use datafusion::arrow::json::writer::LineDelimited;
use serde_json::json;

use crate::cost::CostReport;

#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Format {
    Json,
    Ndjson,
    Csv,
    Arrow,
}

impl Format {
    /// The first that a header `Accept` names; JSON if it names none.
    pub(super) fn of_accept(accept: &str) -> Self {
        let kinds = accept.split(',').map(|kind| kind.split(';').next().unwrap_or_default().trim());
        kinds.filter_map(Self::of_kind).next().unwrap_or(Self::Json)
    }

    fn of_kind(kind: &str) -> Option<Self> {
        [Self::Json, Self::Ndjson, Self::Csv, Self::Arrow].into_iter().find(|format| format.kind() == kind)
    }

    pub(super) fn kind(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Ndjson => "application/x-ndjson",
            Self::Csv => "text/csv",
            Self::Arrow => "application/vnd.apache.arrow.stream",
        }
    }
}

/// Writes the rows of one answer.
pub(super) enum Encoder {
    Json { has_rows: bool },
    Ndjson,
    Csv,
    Arrow(Box<StreamWriter<Vec<u8>>>),
}

impl Encoder {
    /// With what stands before all rows.
    pub(super) fn new(format: Format, schema: &SchemaRef) -> Result<(Self, Vec<u8>), ArrowError> {
        Ok(match format {
            Format::Json => {
                let columns: Vec<_> = schema
                    .fields()
                    .iter()
                    .map(|field| json!({"name": field.name(), "type": field.data_type().to_string()}))
                    .collect();
                let head = format!("{{\"columns\":{},\"rows\":[", serde_json::Value::Array(columns));
                (Self::Json { has_rows: false }, head.into_bytes())
            }
            Format::Ndjson => (Self::Ndjson, Vec::new()),
            Format::Csv => {
                let none = RecordBatch::new_empty(Arc::clone(schema));
                let flat = flat(&none)?;
                (Self::Csv, csv_rows(&flat, true)?)
            }
            Format::Arrow => {
                let mut writer = StreamWriter::try_new(Vec::new(), schema)?;
                let head = std::mem::take(writer.get_mut());
                (Self::Arrow(Box::new(writer)), head)
            }
        })
    }

    pub(super) fn rows(&mut self, batch: &RecordBatch) -> Result<Vec<u8>, ArrowError> {
        match self {
            Self::Json { has_rows } => {
                let mut rows = Vec::new();
                for line in json_lines(batch)?.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                    rows.extend_from_slice(if std::mem::replace(has_rows, true) { b",\n" } else { b"\n" });
                    rows.extend_from_slice(line);
                }
                Ok(rows)
            }
            Self::Ndjson => json_lines(batch),
            Self::Csv => {
                let flat = flat(batch)?;
                csv_rows(&flat, false)
            }
            Self::Arrow(writer) => {
                writer.write(batch)?;
                Ok(std::mem::take(writer.get_mut()))
            }
        }
    }

    /// What stands behind all rows: JSON alone has a place for what the answer lacks, for hints, and for its cost.
    pub(super) fn finish(
        self,
        gaps: &[String],
        hints: &[String],
        cost: &CostReport,
    ) -> Result<Vec<u8>, ArrowError> {
        match self {
            Self::Json { .. } => {
                let cost = json!({
                    "requests": cost.requests,
                    "bytes": cost.bytes,
                    "blocks_considered": cost.blocks_considered,
                    "blocks_read": cost.blocks_read,
                    "rows_scanned": cost.rows_scanned,
                    "spans_collapsed": cost.collapsed,
                });
                let (gaps, hints) = (json!(gaps), json!(hints));
                Ok(format!("\n],\"partial\":{gaps},\"hints\":{hints},\"cost\":{cost}}}\n").into_bytes())
            }
            Self::Ndjson | Self::Csv => Ok(Vec::new()),
            Self::Arrow(mut writer) => {
                writer.finish()?;
                Ok(std::mem::take(writer.get_mut()))
            }
        }
    }
}

/// One object a line. A line end within a text is escaped in JSON.
fn json_lines(batch: &RecordBatch) -> Result<Vec<u8>, ArrowError> {
    let mut writer = WriterBuilder::new().with_explicit_nulls(true).build::<_, LineDelimited>(Vec::new());
    writer.write(batch)?;
    writer.finish()?;
    Ok(writer.into_inner())
}

fn csv_rows(batch: &RecordBatch, has_header: bool) -> Result<Vec<u8>, ArrowError> {
    let mut writer = csv::WriterBuilder::new().with_header(has_header).build(Vec::new());
    writer.write(batch)?;
    Ok(writer.into_inner())
}

/// Maps, lists and structs as JSON text: CSV knows none.
fn flat(batch: &RecordBatch) -> Result<Cow<'_, RecordBatch>, ArrowError> {
    if !batch.schema().fields().iter().any(|field| field.data_type().is_nested()) {
        return Ok(Cow::Borrowed(batch));
    }
    let (mut fields, mut columns) = (Vec::new(), Vec::new());
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        if field.data_type().is_nested() {
            fields.push(Arc::new(Field::new(field.name(), DataType::Utf8, true)));
            columns.push(json_texts(field, column)?);
        } else {
            fields.push(Arc::clone(field));
            columns.push(Arc::clone(column));
        }
    }
    Ok(Cow::Owned(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?))
}

fn json_texts(field: &Field, column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    const BEFORE: &str = "{\"v\":";
    let alone = Field::new("v", field.data_type().clone(), true);
    let batch = RecordBatch::try_new(Arc::new(Schema::new(vec![alone])), vec![Arc::clone(column)])?;
    let lines =
        String::from_utf8(json_lines(&batch)?).map_err(|error| ArrowError::JsonError(error.to_string()))?;
    let texts = lines.lines().map(|line| {
        let value = line.strip_prefix(BEFORE).and_then(|rest| rest.strip_suffix('}'));
        value.filter(|value| *value != "null")
    });
    Ok(Arc::new(texts.collect::<StringArray>()))
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{Int64Array, ListArray};
    use datafusion::arrow::datatypes::Int64Type;
    use datafusion::arrow::ipc::reader::StreamReader;

    use super::*;

    fn batch() -> RecordBatch {
        let lists = ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(1), None]), None]);
        let texts = StringArray::from(vec![Some("a \"b\"\n,c"), None]);
        let fields = vec![
            Field::new("n", DataType::Int64, false),
            Field::new("text", DataType::Utf8, true),
            Field::new("list", lists_type(), true),
        ];
        let columns: Vec<ArrayRef> =
            vec![Arc::new(Int64Array::from(vec![1, 2])), Arc::new(texts), Arc::new(lists)];
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
    }

    fn lists_type() -> DataType {
        DataType::List(Arc::new(Field::new("item", DataType::Int64, true)))
    }

    fn written(format: Format) -> Vec<u8> {
        let (mut encoder, mut all) = Encoder::new(format, &batch().schema()).unwrap();
        for batch in [batch(), batch().slice(0, 0), batch().slice(1, 1)] {
            all.extend(encoder.rows(&batch).unwrap());
        }
        all.extend(encoder.finish(&["a part".to_owned()], &[], &CostReport::default()).unwrap());
        all
    }

    #[test]
    fn should_write_one_json_object_with_all_rows_and_what_they_lack() {
        let read: serde_json::Value = serde_json::from_slice(&written(Format::Json)).unwrap();
        assert_eq!(read["columns"][0], json!({"name": "n", "type": "Int64"}));
        assert_eq!(read["rows"][0], json!({"n": 1, "text": "a \"b\"\n,c", "list": [1, null]}));
        assert_eq!(read["rows"].as_array().unwrap().len(), 3);
        assert_eq!(read["rows"][2], json!({"n": 2, "text": null, "list": null}));
        assert_eq!(read["partial"], json!(["a part"]));
    }

    #[test]
    fn should_write_an_object_a_line() {
        let text = String::from_utf8(written(Format::Ndjson)).unwrap();
        let rows: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(rows.len(), 3);
    }

    #[test]
    fn should_write_csv_with_one_header_and_lists_as_json() {
        let text = String::from_utf8(written(Format::Csv)).unwrap();
        assert_eq!(text, "n,text,list\n1,\"a \"\"b\"\"\n,c\",\"[1,null]\"\n2,,\n2,,\n");
    }

    #[test]
    fn should_write_a_stream_that_arrow_reads() {
        let bytes = written(Format::Arrow);
        let read: Vec<RecordBatch> =
            StreamReader::try_new(&bytes[..], None).unwrap().map(Result::unwrap).collect();
        assert_eq!(read.iter().map(RecordBatch::num_rows).sum::<usize>(), 3);
        assert_eq!(read[0], batch());
    }

    #[test]
    fn should_know_formats_by_what_a_client_accepts() {
        assert_eq!(Format::of_accept("text/html, text/csv;q=0.9, */*"), Format::Csv);
        assert_eq!(Format::of_accept("*/*"), Format::Json);
        assert_eq!(Format::of_accept("application/vnd.apache.arrow.stream"), Format::Arrow);
    }
}
