//! The frame of every use case that changes something.

/// A use case: opens the transaction, answers a repeated request from its record, and repeats the
/// body when transactions collide. The body ends with [`journal::commit`].
macro_rules! use_case {
    ($registry:expr, $call:expr, |$tx:ident| $body:block) => {{
        let mut collisions = 0;
        loop {
            let outcome = async {
                let mut $tx = match $registry.begin($call).await? {
                    $crate::Begun::New(tx) => tx,
                    $crate::Begun::Repeated(record) => return $crate::Begun::repeated(&record),
                };
                $body
            }
            .await;
            match outcome {
                Err($crate::Error::Collision) if collisions < $crate::MAX_COLLISIONS => {
                    collisions += 1;
                    $crate::back_off(collisions).await;
                }
                Err($crate::Error::Collision) => break Err($crate::Error::Unavailable),
                outcome => break outcome,
            }
        }
    }};
}
