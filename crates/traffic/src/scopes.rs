//! The instrumentation libraries that make the spans, by language.

use opentelemetry_proto::tonic::common::v1::InstrumentationScope;

use crate::services::Language;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Instrument {
    HttpServer,
    HttpClient,
    Rpc,
    Sql,
    Cache,
    Messaging,
    App,
}

/// The library's scope and the schema URL that it declares, if it declares one.
pub(crate) fn scope(language: Language, instrument: Instrument) -> (InstrumentationScope, &'static str) {
    let (name, version) = library(language, instrument);
    let schema_url = match language {
        Language::Java => "https://opentelemetry.io/schemas/1.37.0",
        Language::Go if instrument != Instrument::App => "https://opentelemetry.io/schemas/1.34.0",
        _ => "",
    };
    (
        InstrumentationScope { name: name.to_owned(), version: version.to_owned(), ..Default::default() },
        schema_url,
    )
}

fn library(language: Language, instrument: Instrument) -> (&'static str, &'static str) {
    match language {
        Language::Go => go(instrument),
        Language::Java => java(instrument),
        Language::Node => node(instrument),
        Language::Python => python(instrument),
        Language::DotNet => dotnet(instrument),
        Language::Rust => match instrument {
            Instrument::Rpc => ("tonic-tracing-opentelemetry", "0.29.0"),
            _ => ("tracing-opentelemetry", "0.32.0"),
        },
    }
}

fn go(instrument: Instrument) -> (&'static str, &'static str) {
    match instrument {
        Instrument::HttpServer | Instrument::HttpClient => {
            ("go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp", "0.64.0")
        }
        Instrument::Rpc => {
            ("go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc", "0.64.0")
        }
        Instrument::Sql => ("github.com/XSAM/otelsql", "0.40.0"),
        Instrument::Cache => ("github.com/redis/go-redis/extra/redisotel", "9.14.0"),
        Instrument::Messaging => ("github.com/twmb/franz-go/plugin/kotel", "1.6.0"),
        Instrument::App => ("shop", ""),
    }
}

fn java(instrument: Instrument) -> (&'static str, &'static str) {
    let name = match instrument {
        Instrument::HttpServer => "io.opentelemetry.tomcat-10.0",
        Instrument::HttpClient => "io.opentelemetry.java-http-client",
        Instrument::Rpc => "io.opentelemetry.grpc-1.6",
        Instrument::Sql => "io.opentelemetry.jdbc",
        Instrument::Cache => "io.opentelemetry.lettuce-5.1",
        Instrument::Messaging => "io.opentelemetry.kafka-clients-2.6",
        Instrument::App => "io.opentelemetry.opentelemetry-instrumentation-annotations-1.16",
    };
    (name, "2.23.0-alpha")
}

fn node(instrument: Instrument) -> (&'static str, &'static str) {
    match instrument {
        Instrument::HttpServer | Instrument::HttpClient => ("@opentelemetry/instrumentation-http", "0.208.0"),
        Instrument::Rpc => ("@opentelemetry/instrumentation-grpc", "0.208.0"),
        Instrument::Sql => ("@opentelemetry/instrumentation-pg", "0.61.0"),
        Instrument::Cache => ("@opentelemetry/instrumentation-ioredis", "0.56.0"),
        Instrument::Messaging => ("@opentelemetry/instrumentation-kafkajs", "0.17.0"),
        Instrument::App => ("storefront", "1.0.0"),
    }
}

fn python(instrument: Instrument) -> (&'static str, &'static str) {
    let name = match instrument {
        Instrument::HttpServer => "opentelemetry.instrumentation.asgi",
        Instrument::HttpClient => "opentelemetry.instrumentation.httpx",
        Instrument::Rpc => "opentelemetry.instrumentation.grpc",
        Instrument::Sql => "opentelemetry.instrumentation.psycopg",
        Instrument::Cache => "opentelemetry.instrumentation.redis",
        Instrument::Messaging => "opentelemetry.instrumentation.aiokafka",
        Instrument::App => "shop.tracing",
    };
    (name, "0.59b0")
}

fn dotnet(instrument: Instrument) -> (&'static str, &'static str) {
    match instrument {
        Instrument::HttpServer => ("Microsoft.AspNetCore", ""),
        Instrument::HttpClient => ("System.Net.Http", ""),
        Instrument::Rpc => ("OpenTelemetry.Instrumentation.GrpcNetClient", "1.13.0-beta.1"),
        Instrument::Sql => ("Npgsql", "9.0.4"),
        Instrument::Cache => ("OpenTelemetry.Instrumentation.StackExchangeRedis", "1.13.0-beta.1"),
        Instrument::Messaging => ("Confluent.Kafka.Extensions.Diagnostics", "0.5.0"),
        Instrument::App => ("Shop.Cart", "2.9.12"),
    }
}
