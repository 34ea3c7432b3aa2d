//! Which configuration decides on which request.

use std::rc::Rc;

/// What was configured under which root context, and the stream that was opened last.
///
/// Envoy makes a root context of each configuration, and opens every stream under one of them. The
/// configuration that was put last is not always the one in force: when a push takes back the one
/// before, and a stream of that one is still open, Envoy goes back to the root context that it still
/// has and configures nothing. So each stream is decided on under its own root.
#[derive(Debug)]
pub(crate) struct Contexts<P: ?Sized> {
    roots: Vec<(u32, Rc<P>)>,
    /// Envoy shows a stream's headers directly after it has opened it, so one place is enough.
    opened: Option<Opened>,
}

#[derive(Debug)]
struct Opened {
    stream: u32,
    root: u32,
}

impl<P: ?Sized> Default for Contexts<P> {
    fn default() -> Self {
        Self { roots: Vec::new(), opened: None }
    }
}

impl<P: ?Sized> Contexts<P> {
    /// Envoy has opened `context` under `parent`, which is zero for a root.
    pub(crate) fn open(&mut self, context: u32, parent: u32) {
        if parent != 0 {
            self.opened = Some(Opened { stream: context, root: parent });
        }
    }

    /// Forgets what was configured under roots that are gone. Envoy could tell of each one's end,
    /// but only by telling of every stream's as well.
    pub(crate) fn keep(&mut self, is_alive: impl Fn(u32) -> bool) {
        self.roots.retain(|(root, _)| is_alive(*root));
    }

    /// From now on `policy` decides on what is opened under `root`.
    pub(crate) fn put(&mut self, root: u32, policy: Rc<P>) {
        self.roots.retain(|(other, _)| *other != root);
        self.roots.push((root, policy));
    }

    /// What decides on `stream`; `None` where nothing does, which must be a denial.
    pub(crate) fn policy_of(&self, stream: u32) -> Option<Rc<P>> {
        let opened = self.opened.as_ref().filter(|opened| opened.stream == stream)?;
        let mut newest_first = self.roots.iter().rev();
        newest_first.find(|(root, _)| *root == opened.root).map(|(_, policy)| Rc::clone(policy))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decides(contexts: &mut Contexts<str>, stream: u32, root: u32) -> Option<String> {
        contexts.open(stream, root);
        contexts.policy_of(stream).map(|policy| policy.to_string())
    }

    fn contexts(configured: &[(u32, &str)]) -> Contexts<str> {
        let mut contexts = Contexts::default();
        for (root, policy) in configured {
            contexts.open(*root, 0);
            contexts.put(*root, Rc::from(*policy));
        }
        contexts
    }

    #[test]
    fn a_request_is_decided_on_under_the_configuration_that_envoy_opened_it_under() {
        let mut contexts = contexts(&[(1, "first"), (7, "second")]);
        assert_eq!(decides(&mut contexts, 8, 7).as_deref(), Some("second"));
        assert_eq!(decides(&mut contexts, 9, 7).as_deref(), Some("second"));
    }

    #[test]
    fn a_configuration_that_is_taken_back_is_in_force_again_without_being_put_again() {
        let mut contexts = contexts(&[(1, "first"), (7, "second")]);
        contexts.keep(|_| true);
        assert_eq!(decides(&mut contexts, 8, 1).as_deref(), Some("first"));
    }

    #[test]
    fn listeners_with_configurations_of_their_own_do_not_get_each_others() {
        let mut contexts = contexts(&[(1, "of one"), (2, "of another")]);
        for stream in 3..10 {
            let (root, own) = if stream % 2 == 0 { (1, "of one") } else { (2, "of another") };
            assert_eq!(decides(&mut contexts, stream, root).as_deref(), Some(own));
        }
    }

    #[test]
    fn nothing_decides_on_a_stream_that_was_not_opened_or_whose_root_has_no_configuration() {
        let mut contexts = contexts(&[(1, "first")]);
        assert!(contexts.policy_of(5).is_none());
        assert!(decides(&mut contexts, 5, 2).is_none());
        contexts.open(6, 1);
        assert!(contexts.policy_of(5).is_none());
        assert!(contexts.policy_of(1).is_none());
    }

    #[test]
    fn what_is_gone_is_forgotten_and_what_lives_stays() {
        let mut contexts = contexts(&[(1, "first"), (7, "second"), (9, "third")]);
        contexts.keep(|root| root != 7);
        assert_eq!(contexts.roots.len(), 2);
        assert!(decides(&mut contexts, 10, 7).is_none());
        assert_eq!(decides(&mut contexts, 11, 1).as_deref(), Some("first"));
    }

    #[test]
    fn a_root_that_is_configured_again_has_its_new_configuration_only() {
        let mut contexts = contexts(&[(1, "first"), (1, "second")]);
        assert_eq!(decides(&mut contexts, 2, 1).as_deref(), Some("second"));
        assert_eq!(contexts.roots.len(), 1);
    }
}
