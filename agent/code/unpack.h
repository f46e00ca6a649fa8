/* unpack.h - what rouse-unpack is given: these descriptors, and stdout for why it failed, at most so many bytes. */
#pragma once

enum { UNPACK_ARCHIVE_FD = 3, UNPACK_DIR_FD = 4, UNPACK_MESSAGE_MAX = 400 };
