"""Communicators of NCCL whose unique id goes through the launchers. Python alone; NCCL (2.14 or later) and the CUDA
runtime are found while the program runs.

    comm = mltrain.nccl_init()                     # all ranks; LOCAL_RANK's GPU
    comm.library.ncclAllReduce(...)                # comm.handle is its ncclComm_t
    comm.wait()
    comm.destroy()                                 # or comm.abort()

What it means, its limits and its errors stand in sdk/mltrain_nccl.h: this says the same to the launcher. Errors are
OSError with the numbers told there; a wrong argument is a ValueError.
"""
import ctypes
import errno
import glob
import os
import struct
import sys
import time

import mltrain

__all__ = ["init", "Communicator", "CURRENT", "NO_GROUP"]

CURRENT = -2    # a device: the one that is set already
NO_GROUP = -1   # a colour: of no group

# Sources: see sdk/nccl_abi.h.
SUCCESS, IN_PROGRESS = 0, 7
ID_SIZE = 128
MAGIC = 0xcafebeef
VERSION_MIN = 21400
RANKS_PER_ID = 256
WORDS_MAX = 160
POLL_SECONDS_MAX = 0.02


class _Id(ctypes.Structure):
    _fields_ = [("bytes", ctypes.c_ubyte * ID_SIZE)]


class _Config(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t), ("magic", ctypes.c_uint), ("version", ctypes.c_uint), ("blocking", ctypes.c_int)]


# ---- the libraries ----

def _open(title, variable, names, wheels):
    given = os.environ.get(variable)
    if given:
        try:
            return ctypes.CDLL(given)
        except OSError as error:
            raise OSError(errno.ENOENT, f"{variable}: {error}") from None
    trouble = ""
    for name in names:
        try:
            return ctypes.CDLL(name, mode=os.RTLD_NOLOAD | os.RTLD_NOW)
        except OSError:
            pass
    paths = [path for folder in sys.path for wheel in wheels for path in sorted(glob.glob(os.path.join(glob.escape(folder), wheel)))]
    for path in paths + list(names) + [f"/usr/local/cuda/lib64/{name}" for name in names]:
        try:
            return ctypes.CDLL(path)
        except OSError as error:
            trouble = f"; {error}" if os.path.exists(path) else trouble
    raise OSError(errno.ENOENT, f"{title} ({names[0]}) is not loaded, not among Python's packages (sys.path), not where the dynamic "
                                f"linker looks (LD_LIBRARY_PATH) and not in /usr/local/cuda/lib64: set {variable}{trouble}")


class _Library:
    """NCCL, checked."""

    def __init__(self):
        self.nccl = _open("NCCL", "MLTRAIN_NCCL_LIBRARY", ["libnccl.so.2"], ["nvidia/nccl/lib/libnccl.so.2"])
        version = ctypes.c_int()
        if not hasattr(self.nccl, "ncclGetVersion"):
            raise OSError(errno.ELIBBAD, f"{self.nccl._name} is no NCCL: it has no ncclGetVersion")
        if self.nccl.ncclGetVersion(ctypes.byref(version)) != SUCCESS:
            raise OSError(errno.ELIBBAD, f"{self.nccl._name} does not tell its version")
        self.version = version.value
        if self.version < VERSION_MIN:
            raise OSError(errno.ELIBBAD, f"{self.nccl._name} says that its version is {self.version}: NCCL 2.14 (21400) or later is "
                                         "needed, which can give up")
        for name in ("ncclGetUniqueId", "ncclCommInitRankConfig", "ncclCommGetAsyncError", "ncclCommFinalize", "ncclCommDestroy",
                     "ncclCommAbort", "ncclGetErrorString"):
            if not hasattr(self.nccl, name):
                raise OSError(errno.ELIBBAD, f"{self.nccl._name} has no {name}")
        self.nccl.ncclGetErrorString.restype = ctypes.c_char_p
        self.scalable = hasattr(self.nccl, "ncclCommInitRankScalable")

    def failed(self, call, result, comm=None):
        words = (self.nccl.ncclGetErrorString(result) or b"").decode("utf-8", "replace")
        if hasattr(self.nccl, "ncclGetLastError"):
            self.nccl.ncclGetLastError.restype = ctypes.c_char_p
            last = self.nccl.ncclGetLastError(ctypes.c_void_p(comm)) or b""
            words += ": " + last.decode("utf-8", "replace")[:300] if last else ""
        return OSError(errno.EIO, f"{call}: {words}")

    def wait(self, comm, call, until):
        pause, state = 0.001, ctypes.c_int()
        while True:
            state.value = SUCCESS
            result = self.nccl.ncclCommGetAsyncError(ctypes.c_void_p(comm), ctypes.byref(state))
            if result not in (SUCCESS, IN_PROGRESS):
                raise self.failed("ncclCommGetAsyncError", result, comm)
            if state.value == SUCCESS and result == SUCCESS:
                return
            if state.value not in (SUCCESS, IN_PROGRESS):
                raise self.failed(call, state.value, comm)
            if time.monotonic() >= until:
                raise OSError(errno.ETIMEDOUT, f"{call} has not ended in time")
            time.sleep(pause)
            pause = min(pause + 0.001, POLL_SECONDS_MAX)


_library = None


def _load():
    global _library
    if _library is None:
        _library = _Library()
    return _library


def _choose_device(device):
    if device == CURRENT:
        return
    cuda = _open("the CUDA runtime", "MLTRAIN_NCCL_CUDART", ["libcudart.so.13", "libcudart.so.12", "libcudart.so.11.0"],
                 ["nvidia/cu1[0-9]/lib/libcudart.so.1[0-9]", "nvidia/cuda_runtime/lib/libcudart.so.1[0-9]",
                  "nvidia/cuda_runtime/lib/libcudart.so.11.0"])
    cuda.cudaGetErrorString.restype = ctypes.c_char_p
    count = ctypes.c_int()
    result = cuda.cudaGetDeviceCount(ctypes.byref(count))
    if result != SUCCESS or count.value <= 0:
        words = cuda.cudaGetErrorString(result).decode() if result else "none is visible"
        raise OSError(errno.ENODEV, f"no CUDA device: {words}")
    if device is None:
        device = (mltrain._Place().local_rank or 0) % count.value
    result = cuda.cudaSetDevice(device)
    if result != SUCCESS:
        raise OSError(errno.EIO, f"cudaSetDevice({device}): {cuda.cudaGetErrorString(result).decode()}")


# ---- what ranks tell each other: one byte of kind, two numbers, bytes; as sdk/nccl.c ----

def _told(kind, first, second, data=b""):
    return struct.pack(">cii", kind, first, second) + data


def _ids_of(library, size):
    return -(-size // RANKS_PER_ID) if library and library.scalable else 1


def _makes_id(rank, size, ids):
    each, more = divmod(size, ids)
    limit = more * (each + 1)
    return rank % (each + 1) == 0 if rank < limit else (rank - limit) % each == 0


def _make_id(library, ids):
    made = _Id()
    result = library.nccl.ncclGetUniqueId(ctypes.byref(made))
    if result != SUCCESS:
        raise library.failed("ncclGetUniqueId", result)
    return _told(b"i", library.version, ids, bytes(made.bytes))


def _failure(error):
    return _told(b"e", error.errno or errno.EIO, 0, (error.strerror or str(error)).encode()[:WORDS_MAX])


def _take_id(library, rank, data, ids):
    if data[:1] == b"e" and len(data) > 9:
        raise OSError(errno.EREMOTEIO, f"rank {rank}: {data[9:].decode('utf-8', 'replace')}")
    if data[:1] != b"i" or len(data) != 9 + ID_SIZE:
        raise OSError(errno.EPROTO, f"rank {rank} has called nccl_init() with this name and another split, or something else")
    version, count = struct.unpack_from(">ii", data, 1)
    if version != library.version or count != ids:
        raise OSError(errno.ELIBBAD, f"rank {rank} has NCCL {version}, this one {library.version}: all need the same")
    return _Id.from_buffer_copy(data, 9)


def _gather(name, mine, failed, until, served):
    """A failure before the gather is told in it, so that nobody waits for what will not come."""
    sequence, parts = 0, {0: mine} if mine else {}
    if failed is not None:
        mine = _failure(failed)
    if served:
        try:
            sequence, parts = mltrain._gather(f"nccl:{name}", mine, until)
        except OSError:
            if failed is None:
                raise
    if failed is not None:
        raise failed
    return sequence, parts


def _find_world(name, library, failed, until):
    """(rank, size, ids)"""
    rank, size, served = mltrain._world()
    count, mine = _ids_of(library, size), b""
    if failed is None and _makes_id(rank, size, count):
        try:
            mine = _make_id(library, count)
        except OSError as error:
            failed = error
    _, parts = _gather(name, mine, failed, until, served)
    ids = [_take_id(library, who, data, count) for who, data in sorted(parts.items())]
    if len(ids) != count:
        raise OSError(errno.EPROTO, f"{len(ids)} of {count} ids came")
    return rank, size, ids


def _find_group(name, library, failed, colour, key, until):
    rank, size, served = mltrain._world()
    sequence, parts = _gather(name, _told(b"g", colour, key), failed, until, served)
    members = []
    for who, data in sorted(parts.items()):
        if data[:1] == b"e" and len(data) > 9:
            raise OSError(errno.EREMOTEIO, f"rank {who}: {data[9:].decode('utf-8', 'replace')}")
        if data[:1] != b"g" or len(data) != 9:
            break
        members.append((*struct.unpack_from(">ii", data, 1), who))
    if len(members) != size:
        raise OSError(errno.EPROTO, f"only {len(members)} of {size} ranks have called nccl_init() with this name and colours")
    if colour == NO_GROUP:
        return None
    group = [who for its_colour, _, who in sorted(members) if its_colour == colour]
    count, ids = _ids_of(library, len(group)), []
    for place, who in enumerate(group):
        if not _makes_id(place, len(group), count):
            continue
        value = f"nccl:{name}:{sequence:x}:{colour:x}:{len(ids):x}"
        if who != rank:
            data = mltrain._exchange(f"get {value} {mltrain._milliseconds(until)}", until)[1]
        else:
            try:
                data = _make_id(library, count)
            except OSError as error:
                if len(group) > 1:
                    mltrain._exchange(f"put {value} {_failure(error).hex()}", until)
                raise
            if len(group) > 1:
                mltrain._exchange(f"put {value} {data.hex()}", until)
        ids.append(_take_id(library, who, data, count))
    return group.index(rank), len(group), ids


# ---- communicators ----

class Communicator:
    """A communicator that does not block: where a call of NCCL gives 7 (ncclInProgress), call wait(). It is freed by abort()
    or destroy(), not by itself."""

    def __init__(self, library, handle, rank, size):
        self._library = library
        self.library = library.nccl  # a ctypes.CDLL
        self.handle = handle         # ncclComm_t, an int; None when it is freed
        self.rank, self.size = rank, size

    def wait(self, timeout=mltrain.WAIT_SECONDS):
        """Until what was begun is under way."""
        self._library.wait(self.handle, "what was begun with the communicator", time.monotonic() + timeout)

    def abort(self):
        """Gives up what runs, and frees it. Whatever the others do; twice is fine."""
        handle, self.handle = self.handle, None
        result = self.library.ncclCommAbort(ctypes.c_void_p(handle)) if handle else SUCCESS
        if result not in (SUCCESS, IN_PROGRESS):
            raise self._library.failed("ncclCommAbort", result)

    def destroy(self, timeout=mltrain.WAIT_SECONDS):
        """Ends it in good order, on all its ranks; aborts it when that fails."""
        if not self.handle:
            return
        try:
            result = self.library.ncclCommFinalize(ctypes.c_void_p(self.handle))
            if result not in (SUCCESS, IN_PROGRESS):
                raise self._library.failed("ncclCommFinalize", result, self.handle)
            self._library.wait(self.handle, "ncclCommFinalize", time.monotonic() + timeout)
        except OSError:
            handle, self.handle = self.handle, None
            self.library.ncclCommAbort(ctypes.c_void_p(handle))
            raise
        handle, self.handle = self.handle, None
        result = self.library.ncclCommDestroy(ctypes.c_void_p(handle))
        if result not in (SUCCESS, IN_PROGRESS):
            raise self._library.failed("ncclCommDestroy", result)


def _start(library, rank, size, ids, until):
    config = _Config(size=_Config.blocking.offset + _Config.blocking.size, magic=MAGIC, version=VERSION_MIN, blocking=0)
    handle = ctypes.c_void_p()
    if len(ids) > 1:
        call = "ncclCommInitRankScalable"
        result = library.nccl.ncclCommInitRankScalable(ctypes.byref(handle), size, rank, len(ids), (_Id * len(ids))(*ids),
                                                       ctypes.byref(config))
    else:
        call = "ncclCommInitRankConfig"
        result = library.nccl.ncclCommInitRankConfig(ctypes.byref(handle), size, ids[0], rank, ctypes.byref(config))
    try:
        if result not in (SUCCESS, IN_PROGRESS):
            raise library.failed(call, result, handle.value)
        if not handle.value:
            raise OSError(errno.EIO, f"{call} gave no communicator")
        library.wait(handle.value, call, until)
    except BaseException as error:
        if handle.value:
            library.nccl.ncclCommAbort(handle)
        if isinstance(error, TimeoutError):
            raise OSError(errno.ETIMEDOUT, f"{call} has not ended in time: all {size} ranks had come, but they do not reach each other, "
                                           "or one has gone since. NCCL_DEBUG=INFO tells more, NCCL_SOCKET_IFNAME chooses the "
                                           "interface") from None
        raise
    return Communicator(library, handle.value, rank, size)


def init(name="world", colour=None, key=0, device=None, timeout=mltrain.WAIT_SECONDS):
    """A Communicator for all ranks of the job, or, with a colour (0 and up), for those with the same colour in the order of
    their keys. To be called by all ranks, with the same name; with NO_GROUP it gives None. device: None is LOCAL_RANK's,
    CURRENT the one that torch.cuda.set_device() has set."""
    until, _ = mltrain._check(name, timeout)
    if colour is not None and not NO_GROUP <= colour < 1 << 31:
        raise ValueError(f"colour {colour}: 0 and up, or NO_GROUP expected")
    mltrain._world()
    library = failed = None
    try:  # a failure is told to the others
        if colour != NO_GROUP:
            library = _load()
            _choose_device(device)
    except OSError as error:
        failed = error
    if colour is None:
        found = _find_world(name, library, failed, until)
    else:
        found = _find_group(name, library, failed, colour, key, until)
    return _start(library, *found, until) if found else None
