//! Who may bind, as what.

use rusmpp::pdus::{BindReceiverResp, BindTransceiverResp, BindTransmitterResp};
use rusmpp::types::COctetString;
use rusmpp::values::InterfaceVersion;
use rusmpp::{CommandStatus, Pdu};

use super::{Role, Session};
use crate::carrier::smpp::framing::{Frame, Header};
use crate::rehearsal::smsc::wire;

/// What the centre calls itself.
const SYSTEM_ID: &[u8] = b"NEXOSMSC\0";

impl Session {
    /// Answers a bind; a wrong one ends the connection.
    pub(super) fn bind(&mut self, role: Role, frame: &Frame) {
        let Header { command: id, sequence, .. } = frame.header;
        let Some((system_id, password)) = wire::credentials(frame) else {
            return self.refuse_bind(id, CommandStatus::EsmeRbindfail, sequence);
        };
        let settings = &self.centre.settings;
        if self.role.is_some() {
            return wire::put_refusal(&mut self.out, id, CommandStatus::EsmeRalybnd, sequence);
        }
        if system_id != settings.system_id {
            return self.refuse_bind(id, CommandStatus::EsmeRinvsysid, sequence);
        }
        if password != settings.password {
            return self.refuse_bind(id, CommandStatus::EsmeRinvpaswd, sequence);
        }
        let own = COctetString::from_static_slice(SYSTEM_ID).unwrap_or_default();
        let version = Some(InterfaceVersion::Smpp3_4);
        let (name, answer) = match role {
            Role::Transmitter => ("transmitter", Pdu::from(BindTransmitterResp::new(own, version))),
            Role::Receiver => ("receiver", Pdu::from(BindReceiverResp::new(own, version))),
            Role::Transceiver => ("transceiver", Pdu::from(BindTransceiverResp::new(own, version))),
        };
        self.role = Some(role);
        self.centre.journal.session(self.number, "bound", name);
        tracing::info!(session = self.number, role = name, "bound");
        wire::put(&mut self.out, sequence, &answer);
    }

    /// Says no; the connection ends.
    fn refuse_bind(&mut self, id: u32, status: CommandStatus, sequence: u32) {
        self.centre.journal.session(self.number, "refused", &format!("{status:?}"));
        wire::put_refusal(&mut self.out, id, status, sequence);
        self.ending = true;
    }
}
