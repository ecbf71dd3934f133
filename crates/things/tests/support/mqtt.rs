//! As much of an MQTT 3.1.1 client as tests of brokers need. Packets are written and read one at a time;
//! a broker that closes the connection is an answer too.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "a test without its client cannot go on"
)]

use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    time::Duration,
};

/// How long a broker may take to answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// A connection.
pub struct Client(TcpStream);

/// A packet: its kind, and what follows its length.
#[derive(Debug, PartialEq)]
struct Packet(u8, Vec<u8>);

impl Client {
    /// Connects; the error is the return code, or `None` if the broker just hung up.
    pub fn connect(port: u16, client_id: &str, username: &str, password: &str) -> Result<Self, Option<u8>> {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut client = Self(stream);
        // Protocol level 4; user name, password, clean session; a keep-alive of a minute.
        let mut body = [text("MQTT"), vec![4, 0xC2, 0, 60]].concat();
        body.extend([client_id, username, password].map(text).concat());
        client.send(0x10, &body);
        match client.receive() {
            Some(Packet(0x20, answer)) if answer[1] == 0 => Ok(client),
            Some(Packet(0x20, answer)) => Err(Some(answer[1])),
            _ => Err(None),
        }
    }

    /// Subscribes with QoS 1; whether the broker grants it.
    pub fn subscribe(&mut self, filter: &str) -> bool {
        self.send(0x82, &[vec![0, 7], text(filter), vec![1]].concat());
        matches!(self.receive(), Some(Packet(0x90, answer)) if answer[2] != 0x80)
    }

    /// Publishes with QoS 1; whether the broker acknowledges it.
    pub fn publish(&mut self, topic: &str, payload: &str) -> bool {
        self.send(0x32, &[text(topic), vec![0, 9], payload.as_bytes().to_vec()].concat());
        matches!(self.receive(), Some(Packet(0x40, _)))
    }

    /// The next message: its topic and payload.
    pub fn message(&mut self) -> Option<(String, String)> {
        let Packet(kind, body) = self.receive()?;
        let length = usize::from(u16::from_be_bytes([body[0], body[1]]));
        // A packet id follows the topic, unless it is QoS 0.
        let payload = 2 + length + if kind & 0x06 == 0 { 0 } else { 2 };
        let string = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        (kind & 0xF0 == 0x30).then(|| (string(&body[2..2 + length]), string(&body[payload..])))
    }

    fn send(&mut self, kind: u8, body: &[u8]) {
        let mut packet = vec![kind];
        let mut rest = body.len();
        loop {
            let more = if rest > 127 { 0x80 } else { 0 };
            packet.push(u8::try_from(rest % 128).unwrap() | more);
            rest /= 128;
            if rest == 0 {
                break;
            }
        }
        packet.extend(body);
        // The answer to a connection that is gone is read as none.
        let _ = self.0.write_all(&packet);
    }

    /// The next packet; `None` if the broker has hung up.
    fn receive(&mut self) -> Option<Packet> {
        let kind = self.byte()?;
        let (mut length, mut shift) = (0, 0);
        loop {
            let byte = self.byte()?;
            length |= usize::from(byte & 0x7F) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).ok()?;
        Some(Packet(kind, body))
    }

    fn byte(&mut self) -> Option<u8> {
        let mut byte = [0];
        match self.0.read_exact(&mut byte) {
            Ok(()) => Some(byte[0]),
            Err(error) => {
                let silent = matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
                assert!(!silent, "the broker neither answers nor hangs up");
                None
            }
        }
    }
}

fn text(text: &str) -> Vec<u8> {
    [&u16::try_from(text.len()).unwrap().to_be_bytes(), text.as_bytes()].concat()
}
