"""A reporter that interrupts a training, for tests of Ctrl-C."""

from rnntext.progress import LineReporter


class StopsIn(LineReporter):
    """Presses Ctrl-C in the second step of an epoch."""

    def __init__(self, epoch):
        super().__init__(lambda text: None)
        self.stop_epoch = epoch

    def start_epoch(self, epoch, epochs, steps):
        super().start_epoch(epoch, epochs, steps)
        self.now, self.seen = epoch, 0

    def step(self, loss, tokens):
        self.seen += 1
        if (self.now, self.seen) == (self.stop_epoch, 2):
            raise KeyboardInterrupt
