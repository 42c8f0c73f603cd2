//! Taking over the containers of a monitor that died.
//!
//! The member records say what was asked; an exit record ends a container; a process that has the
//! recorded pid *and* start time lives and is watched by pidfd. Where the former monitor died
//! between starting and writing down, the runtime's state has the pid. What is none of these has
//! ended while nobody looked: it gets a durable exit record that says so.

use std::os::fd::AsFd;

use sys::watch::Interest;

use crate::container::{Container, Streams};
use crate::error::chain;
use crate::lifecycle::exit_record;
use crate::protocol::ExitRecord;
use crate::record::{self, Member};
use crate::server::{Monitor, complain};
use crate::table::State;
use crate::token::Token;

/// Looks at an adopted container's status after its end, 20 ms apart.
const STATUS_TRIES: u8 = 25;

impl Monitor {
    /// Finds every container that has a member record.
    pub(crate) fn adopt_all(&mut self) -> std::io::Result<()> {
        for id in record::member_ids(&self.sandbox.pod_dir)? {
            let path = record::member_path(&self.sandbox.pod_dir, &id);
            match record::read::<Member>(&path) {
                Ok(Some(member)) if member.request.id == id => self.adopt(member),
                Ok(None) => {}
                Ok(Some(_)) => complain(&format!("{}: names another container", path.display())),
                Err(error) => complain(&format!("{}: {error}", path.display())),
            }
        }
        Ok(())
    }

    fn adopt(&mut self, mut member: Member) {
        let id = member.request.id.clone();
        let exit = record::read::<ExitRecord>(&record::exit_path(&self.sandbox.pod_dir, &id));
        if let Ok(Some(exit)) = exit {
            return self.adopt_ended(member, exit);
        }
        if member.pid == 0 && !self.find_started(&mut member) {
            // It was never announced; the supervisor asks for it again.
            if let Err(failure) = self.delete_leftovers(&id) {
                complain(&format!("{id}: {}", failure.message));
            }
            return;
        }
        match sys::children::open(member.pid, member.start_time) {
            Ok(Some(pidfd)) => self.adopt_running(member, pidfd),
            Ok(None) => {
                let oom_killed = self.sandbox.runtime.oom_killed(&id).unwrap_or(false);
                let exit = exit_record(&member, None, oom_killed);
                let path = record::exit_path(&self.sandbox.pod_dir, &id);
                if let Err(error) = record::write(&path, &exit) {
                    complain(&format!("cannot write {}: {error}", path.display()));
                }
                self.adopt_ended(member, exit);
            }
            Err(error) => complain(&format!("{id}: cannot watch pid {}: {error}", member.pid)),
        }
    }

    fn adopt_ended(&mut self, member: Member, exit: ExitRecord) {
        let mut container = Container::new(member, Streams::default());
        container.state = State::Exited;
        container.exit = Some(exit);
        let key = self.new_key();
        self.insert(key, container);
    }

    fn adopt_running(&mut self, member: Member, pidfd: std::os::fd::OwnedFd) {
        let id = member.request.id.clone();
        let streams = match member.request.terminal {
            // The master went with the former monitor; the hang-up ends most programs.
            true => Streams::default(),
            false => Streams::reopen(&self.sandbox.pod_dir, &id).unwrap_or_else(|error| {
                complain(&format!("{id}: cannot reopen its outputs: {error}"));
                Streams::default()
            }),
        };
        let key = self.new_key();
        if let Err(error) =
            self.watch.add(pidfd.as_fd(), Token::Adopted(key).pack(), Interest::Read)
        {
            complain(&format!("{id}: cannot watch its end: {error}"));
        }
        let mut container = Container::new(member, streams);
        container.adopted = Some(pidfd);
        container.status_tries = STATUS_TRIES;
        self.insert(key, container);
    }

    /// Completes the record of a container whose monitor died while it started it.
    fn find_started(&self, member: &mut Member) -> bool {
        let state = match self.sandbox.runtime.state(&member.request.id) {
            Ok(state) => state,
            Err(error) => {
                complain(&format!("{}: {}", member.request.id, chain(&error)));
                return false;
            }
        };
        let Some(pid) = state.pid.filter(|pid| *pid > 0) else { return false };
        let Ok(start_time) = sys::children::start_time(pid) else { return false };
        member.pid = pid;
        member.start_time = start_time;
        member.started_at_ns = sys::clock::unix_ns();
        member.started_boot_ms = sys::clock::boot_ms();
        let path = record::member_path(&self.sandbox.pod_dir, &member.request.id);
        record::write(&path, member).is_ok()
    }
}
