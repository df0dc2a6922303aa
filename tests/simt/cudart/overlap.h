// Device memory around a launch that a later one may overlap (programmatic dependent launch).
#pragma once

namespace simt::cudart {

// Before a launch: remembers memory as it is.
void remember_memory();

// Before a launch that may begin before the one in front of it has ended, which has run by now: makes memory what that
// launch found.
void undo_earlier_launch();

// Makes memory again what the launch in front left. False where this launch has written meanwhile; what it wrote is lost.
bool redo_earlier_launch();

}  // namespace simt::cudart
