/* messages.h - short names for the control channel's messages, as control.proto calls them. */
#pragma once
#include "control.pb-c.h"

typedef Rouse__Control__V1__AgentMessage AgentMessage;
typedef Rouse__Control__V1__ControllerMessage ControllerMessage;
typedef Rouse__Control__V1__Epoch Epoch;
typedef Rouse__Control__V1__Hello Hello;
typedef Rouse__Control__V1__InstanceStatus InstanceStatus;
typedef Rouse__Control__V1__Ticket Ticket;
typedef Rouse__Control__V1__TicketGone TicketGone;
typedef Rouse__Control__V1__SlotFree SlotFree;
typedef Rouse__Control__V1__Report Report;
typedef Rouse__Control__V1__Ack Ack;
typedef Rouse__Control__V1__LogChunk LogChunk;
typedef Rouse__Control__V1__HelloReject HelloReject;
typedef Rouse__Control__V1__Welcome Welcome;
typedef Rouse__Control__V1__RevisionSpec RevisionSpec;
typedef Rouse__Control__V1__EnvVar EnvVar;
typedef Rouse__Control__V1__DesiredInstance DesiredInstance;
typedef Rouse__Control__V1__Desired Desired;
typedef Rouse__Control__V1__HttpTrigger HttpTrigger;
typedef Rouse__Control__V1__Route Route;
typedef Rouse__Control__V1__Endpoint Endpoint;
typedef Rouse__Control__V1__Routes Routes;
typedef Rouse__Control__V1__SlotBack SlotBack;
typedef Rouse__Control__V1__SlotUnused SlotUnused;
typedef Rouse__Control__V1__SlotWanted SlotWanted;
typedef Rouse__Control__V1__Nodes Nodes;
typedef Rouse__Control__V1__Grant Grant;
typedef Rouse__Control__V1__Refuse Refuse;
typedef Rouse__Control__V1__LogRequest LogRequest;
