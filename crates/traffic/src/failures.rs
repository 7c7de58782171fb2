//! What goes wrong, and the exception events that tell of it, in each language's own words.

use std::fmt::Write;

use opentelemetry_proto::tonic::{common::v1::KeyValue, trace::v1::span::Event};

use crate::attributes::{boolean, text};
use crate::services::{Language, Service};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The store refused or lost the statement.
    Store,
    /// The service's own code failed.
    Bug,
    /// Nobody answered.
    Unavailable,
    /// The answer came too late.
    Timeout,
}

impl Failure {
    pub(crate) fn http_status(self) -> i64 {
        match self {
            Self::Store | Self::Bug => 500,
            Self::Unavailable => 503,
            Self::Timeout => 504,
        }
    }

    pub(crate) fn grpc_status(self) -> i64 {
        match self {
            Self::Store | Self::Bug => 13,
            Self::Unavailable => 14,
            Self::Timeout => 4,
        }
    }

    /// The exception's type and message as this language has them.
    pub(crate) fn words(self, language: Language) -> (&'static str, &'static str) {
        match (self, language) {
            (Self::Store, Language::Java) => {
                ("org.postgresql.util.PSQLException", "ERROR: deadlock detected")
            }
            (Self::Store, Language::Go) => ("*pgconn.PgError", "ERROR: deadlock detected (SQLSTATE 40P01)"),
            (Self::Store, Language::DotNet) => (
                "StackExchange.Redis.RedisTimeoutException",
                "Timeout awaiting response (outbound=1KiB, inbound=0KiB, 5210ms elapsed, timeout is 5000ms)",
            ),
            (Self::Store, Language::Python) => ("psycopg.errors.DeadlockDetected", "deadlock detected"),
            (Self::Store, _) => ("ConnectionError", "connection reset by peer"),
            (Self::Bug, Language::Java) => (
                "java.lang.NullPointerException",
                "Cannot invoke \"java.math.BigDecimal.scale()\" because \"price\" is null",
            ),
            (Self::Bug, Language::Node) => {
                ("TypeError", "Cannot read properties of undefined (reading 'variants')")
            }
            (Self::Bug, Language::Python) => ("KeyError", "'weight'"),
            (Self::Bug, Language::DotNet) => {
                ("System.InvalidOperationException", "Sequence contains no matching element")
            }
            (Self::Bug, Language::Go) => {
                ("runtime.boundsError", "runtime error: index out of range [3] with length 3")
            }
            (Self::Bug, Language::Rust) => ("pricing::Error", "no price list for market"),
            (Self::Unavailable, _) => ("UNAVAILABLE", "connection refused"),
            (Self::Timeout, _) => ("DEADLINE_EXCEEDED", "context deadline exceeded"),
        }
    }
}

/// The `exception` event that the SDK records. `depth` = frames of the framework below the service's own.
pub(crate) fn exception(failure: Failure, service: &Service, function: &str, depth: usize, at: u64) -> Event {
    let (kind, message) = failure.words(service.language);
    Event {
        time_unix_nano: at,
        name: "exception".to_owned(),
        attributes: exception_attributes(service, function, kind, message, depth),
        dropped_attributes_count: 0,
    }
}

fn exception_attributes(
    service: &Service,
    function: &str,
    kind: &'static str,
    message: &'static str,
    depth: usize,
) -> Vec<KeyValue> {
    vec![
        text("exception.type", kind),
        text("exception.message", message),
        text("exception.stacktrace", stack_trace(service, function, kind, message, depth)),
        boolean("exception.escaped", true),
    ]
}

fn stack_trace(service: &Service, function: &str, kind: &str, message: &str, depth: usize) -> String {
    let package: String = service.name.chars().filter(char::is_ascii_alphanumeric).collect();
    // The line stays the same for the same function, as it would until the next release.
    let line = 20 + function.bytes().fold(7_u32, |sum, byte| (sum * 31 + u32::from(byte)) % 380);
    let mut trace = String::with_capacity(160 * (depth + 4));
    let language = service.language;
    match language {
        Language::Python => trace.push_str("Traceback (most recent call last):\n"),
        Language::Go => trace.push_str("goroutine 1 [running]:\n"),
        _ => {
            let _ = writeln!(trace, "{kind}: {message}");
        }
    }
    for (number, layer) in ["Repository", "Service", "Handler"].into_iter().enumerate() {
        let line = line + 41 * number as u32;
        push_frame(&mut trace, language, &package, layer, function, line);
    }
    for frame in framework_frames(language).iter().cycle().take(depth) {
        trace.push_str(frame);
        trace.push('\n');
    }
    if language == Language::Python {
        let _ = writeln!(trace, "{kind}: {message}");
    }
    trace
}

fn push_frame(trace: &mut String, language: Language, package: &str, layer: &str, function: &str, line: u32) {
    let _ = match language {
        Language::Java => {
            writeln!(trace, "\tat com.example.shop.{package}.{layer}.{function}({layer}.java:{line})")
        }
        Language::Node => {
            writeln!(trace, "    at {layer}.{function} (/app/dist/{package}/{layer}.js:{line}:17)")
        }
        Language::Python => {
            writeln!(
                trace,
                "  File \"/app/{package}/{layer}.py\", line {line}, in {function}\n    return self.{function}(request)"
            )
        }
        Language::DotNet => {
            writeln!(
                trace,
                "   at Shop.{package}.{layer}.{function}() in /src/{package}/{layer}.cs:line {line}"
            )
        }
        Language::Go => {
            writeln!(trace, "shop/{package}.(*{layer}).{function}(...)\n\t/src/{package}/{layer}.go:{line}")
        }
        Language::Rust => {
            writeln!(trace, "   {package}::{layer}::{function}\n             at ./src/{layer}.rs:{line}:9")
        }
    };
}

fn framework_frames(language: Language) -> &'static [&'static str] {
    match language {
        Language::Java => &[
            "\tat java.base/jdk.internal.reflect.DirectMethodHandleAccessor.invoke(DirectMethodHandleAccessor.java:103)",
            "\tat org.springframework.aop.framework.CglibAopProxy$DynamicAdvisedInterceptor.intercept(CglibAopProxy.java:728)",
            "\tat org.springframework.transaction.interceptor.TransactionAspectSupport.invokeWithinTransaction(TransactionAspectSupport.java:379)",
            "\tat org.springframework.web.servlet.DispatcherServlet.doDispatch(DispatcherServlet.java:1089)",
            "\tat org.springframework.web.servlet.FrameworkServlet.processRequest(FrameworkServlet.java:1014)",
            "\tat org.apache.catalina.core.ApplicationFilterChain.doFilter(ApplicationFilterChain.java:162)",
            "\tat org.apache.catalina.core.StandardWrapperValve.invoke(StandardWrapperValve.java:167)",
            "\tat org.apache.coyote.http11.Http11Processor.service(Http11Processor.java:397)",
            "\tat org.apache.tomcat.util.threads.ThreadPoolExecutor.runWorker(ThreadPoolExecutor.java:1191)",
            "\tat java.base/java.lang.Thread.run(Thread.java:1583)",
        ],
        Language::Node => &[
            "    at Layer.handle [as handle_request] (/app/node_modules/express/lib/router/layer.js:95:5)",
            "    at next (/app/node_modules/express/lib/router/route.js:149:13)",
            "    at Route.dispatch (/app/node_modules/express/lib/router/route.js:119:3)",
            "    at Function.process_params (/app/node_modules/express/lib/router/index.js:346:12)",
            "    at process.processTicksAndRejections (node:internal/process/task_queues:105:5)",
        ],
        Language::Python => &[
            "  File \"/usr/local/lib/python3.13/site-packages/grpc/_server.py\", line 610, in _call_behavior",
            "  File \"/usr/local/lib/python3.13/site-packages/opentelemetry/instrumentation/grpc/_server.py\", line 302, in telemetry_interceptor",
            "  File \"/usr/local/lib/python3.13/concurrent/futures/thread.py\", line 59, in run",
            "  File \"/usr/local/lib/python3.13/threading.py\", line 994, in run",
        ],
        Language::DotNet => &[
            "   at Microsoft.AspNetCore.Routing.EndpointMiddleware.<Invoke>g__AwaitRequestTask|7_0(Endpoint endpoint, Task requestTask)",
            "   at Microsoft.AspNetCore.Authorization.AuthorizationMiddleware.Invoke(HttpContext context)",
            "   at Microsoft.AspNetCore.Server.Kestrel.Core.Internal.Http.HttpProtocol.ProcessRequests[TContext](IHttpApplication`1 application)",
            "--- End of stack trace from previous location ---",
        ],
        Language::Go => &[
            "google.golang.org/grpc.(*Server).processUnaryRPC(0xc0001a6000)\n\t/go/pkg/mod/google.golang.org/grpc@v1.76.0/server.go:1431",
            "google.golang.org/grpc.(*Server).handleStream(0xc0001a6000)\n\t/go/pkg/mod/google.golang.org/grpc@v1.76.0/server.go:1842",
            "net/http.HandlerFunc.ServeHTTP(...)\n\t/usr/local/go/src/net/http/server.go:2322",
            "created by net/http.(*Server).Serve in goroutine 1\n\t/usr/local/go/src/net/http/server.go:3493",
        ],
        Language::Rust => &[
            "   tonic::server::grpc::Grpc<T>::unary\n             at /usr/local/cargo/registry/src/tonic-0.14.2/src/server/grpc.rs:261:20",
            "   tokio::runtime::task::harness::Harness<T,S>::poll\n             at /usr/local/cargo/registry/src/tokio-1.48.0/src/runtime/task/harness.rs:153:27",
            "   std::panicking::catch_unwind\n             at /rustc/library/std/src/panicking.rs:554:40",
        ],
    }
}
