//! The flow of bytes: container outputs to the log and to attached clients, clients to stdin.
//!
//! One shared buffer; a stream holds data only while a client is slow, and then its source waits.
//! A container is read whether or not anybody is attached: the log takes everything.

use std::os::fd::{AsFd, OwnedFd};

use sys::stdio::Moved;
use sys::watch::Interest;

use crate::attachment::{Attachment, Taken};
use crate::log::{MAX_PIECE_BYTES, Stream};
use crate::protocol::Response;
use crate::requests::Failure;
use crate::server::Monitor;
use crate::table::{Action, Event, State};
use crate::token::Token;

/// Buffers' worth read from one stream before the others have their turn.
const READS_A_TURN: usize = 4;
/// Most bytes taken from a client's stdin at a time.
const INPUT_BLOCK_BYTES: usize = 4096;

impl Monitor {
    /// Reads an output until it has nothing more now, or its turn is over.
    pub(crate) fn pump_output(&mut self, key: u32, stream: Stream) {
        let mut ended = false;
        let mut kept = 0;
        for turn in 1..=READS_A_TURN {
            let Some((len, full)) = self.read_output(key, stream, kept, &mut ended) else { break };
            self.pass_on(key, stream, kept, len);
            let end = kept + len;
            let stalled = self.is_paused(key, stream);
            // A line that goes on in what can be read at once is not cut in two.
            let tail = match full && turn < READS_A_TURN && !stalled {
                true => unfinished(&self.scratch.input[..end]),
                false => 0,
            };
            self.write_log(key, stream, end - tail);
            self.scratch.input.copy_within(end - tail..end, 0);
            kept = tail;
            if !full || stalled {
                break;
            }
        }
        self.write_log(key, stream, kept);
        if ended {
            self.end_output(key, stream);
        }
        self.finish_attachments(key);
    }

    /// Reads behind the first `kept` bytes of the buffer: how much, and whether that filled it.
    fn read_output(
        &mut self,
        key: u32,
        stream: Stream,
        kept: usize,
        ended: &mut bool,
    ) -> Option<(usize, bool)> {
        let container = self.containers.get_mut(&key)?;
        let output = container.outputs[stream as usize].as_mut().filter(|output| !output.paused)?;
        let room = &mut self.scratch.input[kept..];
        output.drained = false;
        match sys::stdio::read(output.fd.as_fd(), room) {
            Ok(Moved::Bytes(len)) => Some((len, len == room.len())),
            Ok(Moved::NotNow) => {
                output.drained = true;
                None
            }
            Ok(Moved::Ended) | Err(_) => {
                *ended = true;
                None
            }
        }
    }

    fn write_log(&mut self, key: u32, stream: Stream, len: usize) {
        let Some(container) = self.containers.get_mut(&key) else { return };
        if len > 0 {
            let data = &self.scratch.input[..len];
            container.log.write(stream, data, sys::clock::unix_ns(), &mut self.scratch.block);
        }
    }

    /// Gives what was just read to the attached clients, or keeps it for the first one.
    fn pass_on(&mut self, key: u32, stream: Stream, from: usize, len: usize) {
        let Some(container) = self.containers.get_mut(&key) else { return };
        let data = &self.scratch.input[from..from + len];
        container.keep_backlog(stream, data);
        let Some(output) = container.outputs[stream as usize].as_mut() else { return };
        for (id, attachment) in self.attachments.iter_mut().filter(|(_, a)| a.container == key) {
            if let Some(stdin) = &container.stdin {
                attachment.end_input(stdin.as_fd(), true);
            }
            let slot = &mut attachment.outputs[stream as usize];
            let Some(sink) = slot else { continue };
            match sink.give(data) {
                Taken::All => {}
                Taken::Gone => *slot = None,
                Taken::Some => {
                    let token = Token::ClientOut(*id, stream).pack();
                    match self.watch.add(sink.fd.as_fd(), token, Interest::Write) {
                        Ok(true) if !output.paused => {
                            self.watch.remove(output.fd.as_fd());
                            output.paused = true;
                        }
                        Ok(true) => {}
                        Ok(false) | Err(_) => *slot = None,
                    }
                }
            }
        }
    }

    fn is_paused(&self, key: u32, stream: Stream) -> bool {
        let output = self.containers.get(&key).and_then(|c| c.outputs[stream as usize].as_ref());
        output.is_some_and(|output| output.paused)
    }

    fn end_output(&mut self, key: u32, stream: Stream) {
        let Some(container) = self.containers.get_mut(&key) else { return };
        if let Some(output) = container.outputs[stream as usize].take() {
            self.watch.remove(output.fd.as_fd());
        }
        container.log.finish(stream, sys::clock::unix_ns(), &mut self.scratch.block);
        for attachment in self.attachments.values_mut().filter(|a| a.container == key) {
            attachment.end_output(stream);
        }
        self.outputs_changed(key);
    }

    /// A client has room again.
    pub(crate) fn flush_sink(&mut self, id: u32, stream: Stream) {
        let Some(attachment) = self.attachments.get_mut(&id) else { return };
        let container = attachment.container;
        let slot = &mut attachment.outputs[stream as usize];
        let Some(sink) = slot else { return };
        match sink.flush() {
            Taken::Some => return,
            Taken::All => {
                self.watch.remove(sink.fd.as_fd());
                if sink.closing {
                    *slot = None;
                }
            }
            Taken::Gone => {
                self.watch.remove(sink.fd.as_fd());
                *slot = None;
            }
        }
        self.resume_output(container, stream);
        self.pump_output(container, stream);
    }

    /// Reads an output again once no client holds it up.
    fn resume_output(&mut self, key: u32, stream: Stream) {
        let holds = |a: &Attachment| {
            let sink = a.outputs[stream as usize].as_ref();
            a.container == key && sink.is_some_and(|sink| !sink.pending.is_empty())
        };
        if self.attachments.values().any(holds) {
            return;
        }
        let Some(container) = self.containers.get_mut(&key) else { return };
        let Some(output) = container.outputs[stream as usize].as_mut() else { return };
        if output.paused {
            let token = Token::Output(key, stream).pack();
            output.paused = self.watch.add(output.fd.as_fd(), token, Interest::Read).is_err();
        }
    }

    /// Joins a client to a container's stdio.
    pub(crate) fn attach(
        &mut self,
        connection: u32,
        id: &str,
        fds: Vec<OwnedFd>,
    ) -> Result<(), Failure> {
        let (key, action, _) = self.ask(id, Event::Attach)?;
        let (Some(key), Action::Join | Action::Replay) = (key, action) else {
            return Err(Failure::bad_request("nothing to attach to".to_owned()));
        };
        if self.connections.get(&connection).is_none_or(|c| c.attachment.is_some()) {
            return Err(Failure::busy("this connection is attached already"));
        }
        let attachment_key = self.new_key();
        let mut attachment = Attachment::open(connection, key, fds)?;
        self.watch_source(attachment_key, key, &mut attachment);
        self.attachments.insert(attachment_key, attachment);
        if let Some(connection) = self.connections.get_mut(&connection) {
            connection.attachment = Some(attachment_key);
        }
        self.answer(connection, &Response::Ok, &[]);
        self.replay(attachment_key, key);
        self.pump_source(attachment_key);
        self.finish_attachments(key);
        Ok(())
    }

    fn watch_source(&self, id: u32, key: u32, attachment: &mut Attachment) {
        if self.containers.get(&key).is_none_or(|container| container.stdin.is_none()) {
            attachment.input = None;
        }
        let Some(source) = &mut attachment.input else { return };
        match self.watch.add(source.fd.as_fd(), Token::ClientIn(id).pack(), Interest::Read) {
            Ok(watched) => {
                source.watched = watched;
                source.always_ready = !watched;
            }
            Err(_) => attachment.input = None,
        }
    }

    /// Gives a new client what was kept, and closes what has ended already.
    fn replay(&mut self, id: u32, key: u32) {
        let Some(container) = self.containers.get_mut(&key) else { return };
        let kept = container.backlog.take().unwrap_or_default();
        let Some(attachment) = self.attachments.get_mut(&id) else { return };
        for (stream, data) in [Stream::Stdout, Stream::Stderr].into_iter().zip(&kept) {
            let slot = &mut attachment.outputs[stream as usize];
            let Some(sink) = slot else { continue };
            sink.closing = container.outputs[stream as usize].is_none();
            let taken = sink.give(data);
            let token = Token::ClientOut(id, stream).pack();
            match taken {
                Taken::All if sink.closing => *slot = None,
                Taken::All => {}
                Taken::Gone => *slot = None,
                Taken::Some => {
                    if !self.watch.add(sink.fd.as_fd(), token, Interest::Write).unwrap_or(false) {
                        *slot = None;
                    }
                }
            }
        }
    }

    /// Sends `Exited` to the clients of an ended container that have taken all output.
    pub(crate) fn finish_attachments(&mut self, key: u32) {
        let Some(container) = self.containers.get(&key) else { return };
        if container.state != State::Exited || !container.outputs_drained() {
            return;
        }
        let Some(exit) = container.exit.clone() else { return };
        let done: Vec<(u32, u32)> = self
            .attachments
            .iter()
            .filter(|(_, a)| a.container == key && a.is_flushed())
            .map(|(id, a)| (*id, a.connection))
            .collect();
        for (id, connection) in done {
            self.detach(id);
            self.answer(connection, &Response::Exited(exit.clone()), &[]);
        }
    }

    /// Ends every attachment of a container that is removed, whatever its client has not taken.
    pub(crate) fn drop_attachments(&mut self, key: u32) {
        let exit = self.containers.get(&key).and_then(|container| container.exit.clone());
        let all = self.attachments.iter().filter(|(_, a)| a.container == key);
        let all: Vec<(u32, u32)> = all.map(|(id, a)| (*id, a.connection)).collect();
        for (id, connection) in all {
            self.detach(id);
            if let Some(exit) = &exit {
                self.answer(connection, &Response::Exited(exit.clone()), &[]);
            }
        }
    }

    /// Forgets a client's streams; the container goes on.
    pub(crate) fn detach(&mut self, id: u32) {
        let Some(attachment) = self.attachments.remove(&id) else { return };
        if let Some(source) = &attachment.input {
            self.watch.remove(source.fd.as_fd());
        }
        for sink in attachment.outputs.iter().flatten() {
            self.watch.remove(sink.fd.as_fd());
        }
        if let Some(connection) = self.connections.get_mut(&attachment.connection) {
            connection.attachment = None;
        }
        for stream in [Stream::Stdout, Stream::Stderr] {
            self.resume_output(attachment.container, stream);
        }
    }

    /// A container can take input again.
    pub(crate) fn stdin_has_room(&mut self, key: u32) {
        let Some(container) = self.containers.get_mut(&key) else { return };
        if let Some(stdin) = &container.stdin {
            self.watch.remove(stdin.as_fd());
        }
        container.stdin_awaited = false;
        let ids: Vec<u32> = self
            .attachments
            .iter()
            .filter(|(_, a)| a.container == key)
            .map(|(id, _)| *id)
            .collect();
        for id in ids {
            self.pump_source(id);
        }
    }

    /// Moves a client's input to the container until one of the two is not ready.
    pub(crate) fn pump_source(&mut self, id: u32) {
        for _ in 0..READS_A_TURN {
            let Some(attachment) = self.attachments.get_mut(&id) else { return };
            let Some(source) = attachment.input.as_mut() else { return };
            let Some(container) = self.containers.get_mut(&attachment.container) else { return };
            let Some(stdin) = &container.stdin else {
                self.watch.remove(source.fd.as_fd());
                attachment.input = None;
                return;
            };
            if !source.pending.is_empty() {
                match sys::stdio::write(stdin.as_fd(), &source.pending) {
                    Ok(Moved::Bytes(len)) => drop(source.pending.drain(..len)),
                    Ok(Moved::NotNow) => return self.await_stdin(id),
                    Ok(Moved::Ended) | Err(_) => container.stdin = None,
                }
                continue;
            }
            if source.ended {
                self.watch.remove(source.fd.as_fd());
                attachment.input = None;
                let request = &container.member.request;
                match request.stdin_once {
                    true if request.terminal => attachment.end_input(stdin.as_fd(), false),
                    true => container.stdin = None,
                    false => {}
                }
                return;
            }
            let block = &mut self.scratch.input[..INPUT_BLOCK_BYTES];
            match source.fd.read(block) {
                Ok(Moved::Bytes(len)) => source.pending.extend_from_slice(&block[..len]),
                Ok(Moved::NotNow) => break,
                Ok(Moved::Ended) | Err(_) => source.ended = true,
            }
        }
        self.watch_source_again(id);
    }

    /// The turn is over or the source has nothing now: wait for it, or for room where it is always
    /// ready.
    fn watch_source_again(&mut self, id: u32) {
        let Some(source) = self.attachments.get_mut(&id).and_then(|a| a.input.as_mut()) else {
            return;
        };
        if source.always_ready {
            self.await_stdin(id);
        } else if !source.watched {
            let token = Token::ClientIn(id).pack();
            source.watched =
                self.watch.add(source.fd.as_fd(), token, Interest::Read).unwrap_or(false);
        }
    }

    /// Waits for room in the container's stdin, and not for the client meanwhile.
    fn await_stdin(&mut self, id: u32) {
        let Some(attachment) = self.attachments.get_mut(&id) else { return };
        if let Some(source) = attachment.input.as_mut().filter(|source| source.watched) {
            self.watch.remove(source.fd.as_fd());
            source.watched = false;
        }
        let key = attachment.container;
        let Some(container) = self.containers.get_mut(&key) else { return };
        if let (Some(stdin), false) = (&container.stdin, container.stdin_awaited) {
            let token = Token::Stdin(key).pack();
            container.stdin_awaited =
                self.watch.add(stdin.as_fd(), token, Interest::Write).unwrap_or(false);
        }
    }
}

/// Length of the unfinished last line; 0 where it is too long to be kept.
fn unfinished(data: &[u8]) -> usize {
    let line_start = data.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
    let len = data.len() - line_start;
    if len < MAX_PIECE_BYTES { len } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_short_unfinished_line_is_kept_for_the_next_read() {
        assert_eq!(unfinished(b"a\nbc"), 2);
        assert_eq!(unfinished(b"a\n"), 0);
        assert_eq!(unfinished(b"abc"), 3);
        assert_eq!(unfinished(&vec![b'x'; MAX_PIECE_BYTES]), 0);
    }
}
