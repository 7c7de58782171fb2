//! Calls of methods by their paths, with messages or with any bytes.

use std::net::SocketAddr;

use bytes::{Buf, BufMut, Bytes};
use prost::Message;
use tonic::client::Grpc;
use tonic::codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::MetadataMap;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

#[derive(Clone)]
pub(crate) struct Client {
    channel: Channel,
    /// What goes with each call.
    pub(crate) metadata: MetadataMap,
    /// Of requests.
    pub(crate) compression: Option<CompressionEncoding>,
}

/// A message that is not looked into.
#[derive(Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let channel = Channel::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
        Self { channel, metadata: MetadataMap::new(), compression: None }
    }

    pub(crate) fn with(&self, pairs: &[(&'static str, &str)]) -> Self {
        let mut client = self.clone();
        for (name, value) in pairs {
            client.metadata.append(*name, value.parse().unwrap());
        }
        client
    }

    /// All messages of an answer, as they came.
    pub(crate) async fn bytes(&self, path: &str, request: Bytes) -> Result<Vec<Bytes>, Status> {
        let mut grpc = Grpc::new(self.channel.clone());
        if let Some(encoding) = self.compression {
            grpc = grpc.send_compressed(encoding);
        }
        grpc.ready().await.map_err(|error| Status::unknown(error.to_string()))?;
        let mut request = Request::new(request);
        *request.metadata_mut() = self.metadata.clone();
        let answer = grpc.server_streaming(request, path.parse().unwrap(), Raw).await?;
        let mut answer = answer.into_inner();
        let mut messages = Vec::new();
        while let Some(message) = answer.message().await? {
            messages.push(message);
        }
        Ok(messages)
    }

    pub(crate) async fn stream<A: Message + Default>(
        &self,
        path: &str,
        request: &impl Message,
    ) -> Result<Vec<A>, Status> {
        let messages = self.bytes(path, request.encode_to_vec().into()).await?;
        Ok(messages.into_iter().map(|message| A::decode(message).unwrap()).collect())
    }

    pub(crate) async fn one<A: Message + Default>(
        &self,
        path: &str,
        request: &impl Message,
    ) -> Result<A, Status> {
        let mut messages = self.stream(path, request).await?;
        assert_eq!(messages.len(), 1, "{path}");
        Ok(messages.remove(0))
    }

    pub(crate) async fn code(&self, path: &str, request: &impl Message) -> Code {
        match self.bytes(path, request.encode_to_vec().into()).await {
            Ok(_) => Code::Ok,
            Err(status) => status.code(),
        }
    }
}
