//! Azurite: an emulator of Azure Blob Storage. What it keeps, it keeps in memory.

use std::path::PathBuf;
use std::process::Command;

use object_store::ClientOptions;
use object_store::azure::{AzureAccessKey, AzureAuthorizer, AzureCredential};
use object_store::client::{HttpConnector, HttpRequest, HttpRequestBody, ReqwestConnector};

use super::process::{Server, ServerError};

/// One server with one empty container.
#[derive(Debug)]
pub struct Azurite {
    server: Server,
}

impl Azurite {
    pub const CONTAINER: &str = "siltstone-test";
    pub const ACCOUNT: &str = "devstoreaccount1";
    /// The same in every Azurite: written in its documentation.
    pub const KEY: &str =
        "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

    pub async fn start(program: PathBuf) -> Result<Self, ServerError> {
        let command = |port: u16, _: &_| {
            let mut command = Command::new(&program);
            command
                .args(["--blobHost", "127.0.0.1", "--blobPort", &port.to_string()])
                // It refuses versions of the protocol that are younger than itself.
                .args(["--inMemoryPersistence", "--skipApiVersionCheck", "--disableTelemetry", "--silent"]);
            command
        };
        let server = Server::start(command, async |port| create_container(port).await.unwrap_or(false));
        Ok(Azurite { server: server.await? })
    }

    pub fn endpoint(&self) -> String {
        endpoint(self.server.port)
    }
}

fn endpoint(port: u16) -> String {
    format!("http://127.0.0.1:{port}/{}", Azurite::ACCOUNT)
}

/// Whether the container is there now. `object_store` cannot make one, but signs and sends what we write.
async fn create_container(port: u16) -> object_store::Result<bool> {
    let mut request = HttpRequest::new(HttpRequestBody::empty());
    let url = format!("{}/{}?restype=container", endpoint(port), Azurite::CONTAINER);
    let Ok(url) = url.parse() else { return Ok(false) };
    *request.method_mut() = "PUT".parse().unwrap_or_default();
    *request.uri_mut() = url;
    let credential = AzureCredential::AccessKey(AzureAccessKey::try_new(Azurite::KEY)?);
    AzureAuthorizer::new(&credential, Azurite::ACCOUNT).authorize(&mut request);
    let client = ReqwestConnector::default().connect(&ClientOptions::new().with_allow_http(true))?;
    Ok(client.execute(request).await.is_ok_and(|answer| answer.status().as_u16() == 201))
}
