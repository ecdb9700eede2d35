import uuid

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import authfi.crypto.fields
import authfi.lib.tenancy
from authfi.lib.migrations import ProtectTenantTables


class Migration(migrations.Migration):

    initial = True

    dependencies = [
    ]

    operations = [
        migrations.CreateModel(
            name='User',
            fields=[
                ('password', models.CharField(max_length=128, verbose_name='password')),
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('tenant_id', models.UUIDField(default=authfi.lib.tenancy.bound_id, editable=False)),
                ('email', authfi.crypto.fields.SealedTextField(editable=True)),
                ('email_index', authfi.crypto.fields.BlindIndexField(editable=False, exact=False, max_length=64, source='email', unique=True)),
                ('name', authfi.crypto.fields.SealedTextField(editable=True)),
                ('fhir_user', authfi.crypto.fields.SealedTextField(editable=True, null=True)),
                ('fhir_user_index', authfi.crypto.fields.BlindIndexField(editable=False, exact=True, max_length=64, null=True, source='fhir_user')),
                ('npi', authfi.crypto.fields.SealedTextField(editable=True, null=True)),
                ('npi_index', authfi.crypto.fields.BlindIndexField(editable=False, exact=False, max_length=64, null=True, source='npi')),
                ('mrn', authfi.crypto.fields.SealedTextField(editable=True, null=True)),
                ('mrn_index', authfi.crypto.fields.BlindIndexField(editable=False, exact=False, max_length=64, null=True, source='mrn')),
                ('is_active', models.BooleanField(default=True)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
            ],
            options={
                'abstract': False,
                'base_manager_name': 'objects',
                'default_manager_name': 'objects',
                'constraints': [models.UniqueConstraint(condition=models.Q(('fhir_user_index__isnull', False)), fields=('tenant_id', 'fhir_user_index'), name='user_fhir_user_once')],
            },
        ),
        migrations.CreateModel(
            name='Invitation',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('tenant_id', models.UUIDField(default=authfi.lib.tenancy.bound_id, editable=False)),
                ('handle_digest', models.CharField(max_length=64, unique=True)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('expires_at', models.DateTimeField()),
                ('used_at', models.DateTimeField(null=True)),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='invitations', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'abstract': False,
                'base_manager_name': 'objects',
                'default_manager_name': 'objects',
            },
        ),
        migrations.CreateModel(
            name='KnownDevice',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('tenant_id', models.UUIDField(default=authfi.lib.tenancy.bound_id, editable=False)),
                ('key_digest', models.CharField(max_length=64)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('expires_at', models.DateTimeField(db_index=True)),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='known_devices', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'abstract': False,
                'base_manager_name': 'objects',
                'default_manager_name': 'objects',
            },
        ),
        migrations.CreateModel(
            name='AuthenticatorFailures',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('tenant_id', models.UUIDField(default=authfi.lib.tenancy.bound_id, editable=False)),
                ('authenticator', models.CharField(max_length=16)),
                ('failures', models.PositiveIntegerField(default=0)),
                ('last_failed_at', models.DateTimeField(null=True)),
                ('disabled_at', models.DateTimeField(null=True)),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='authenticator_failures', to=settings.AUTH_USER_MODEL)),
                ('device', models.ForeignKey(null=True, on_delete=django.db.models.deletion.CASCADE, related_name='failures', to='accounts.knowndevice')),
            ],
            options={
                'abstract': False,
                'base_manager_name': 'objects',
                'default_manager_name': 'objects',
            },
        ),
        migrations.CreateModel(
            name='RoleAssignment',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('tenant_id', models.UUIDField(default=authfi.lib.tenancy.bound_id, editable=False)),
                ('role', models.CharField(choices=[('doctor', 'Doctor'), ('nurse', 'Nurse'), ('patient', 'Patient'), ('admin', 'Admin'), ('privacy-officer', 'Privacy Officer'), ('operator', 'Operator')], max_length=32)),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='role_assignments', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'abstract': False,
                'base_manager_name': 'objects',
                'default_manager_name': 'objects',
            },
        ),
        migrations.CreateModel(
            name='Session',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('tenant_id', models.UUIDField(default=authfi.lib.tenancy.bound_id, editable=False)),
                ('key_digest', models.CharField(max_length=64, unique=True)),
                ('data', authfi.crypto.fields.SealedJSONField(editable=True)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('last_seen_at', models.DateTimeField()),
                ('ends_at', models.DateTimeField()),
                ('expires_at', models.DateTimeField(db_index=True)),
                ('user', models.ForeignKey(null=True, on_delete=django.db.models.deletion.CASCADE, related_name='browser_sessions', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'abstract': False,
                'base_manager_name': 'objects',
                'default_manager_name': 'objects',
            },
        ),
        migrations.CreateModel(
            name='TOTPDevice',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(help_text='The human-readable name of this device.', max_length=64)),
                ('confirmed', models.BooleanField(default=True, help_text='Is this device ready for use?')),
                ('throttling_failure_timestamp', models.DateTimeField(blank=True, default=None, help_text='A timestamp of the last failed verification attempt. Null if last attempt succeeded.', null=True)),
                ('throttling_failure_count', models.PositiveIntegerField(default=0, help_text='Number of successive failed attempts.')),
                ('created_at', models.DateTimeField(auto_now_add=True, help_text='The date and time when this device was initially created in the system.', null=True)),
                ('last_used_at', models.DateTimeField(blank=True, help_text='The most recent date and time this device was used.', null=True)),
                ('tenant_id', models.UUIDField(default=authfi.lib.tenancy.bound_id, editable=False)),
                ('seal_row', models.UUIDField(default=uuid.uuid4, editable=False)),
                ('seed', authfi.crypto.fields.SealedTextField(editable=True)),
                ('last_step', models.BigIntegerField(default=-1)),
                ('user', models.ForeignKey(help_text='The user that this device belongs to.', on_delete=django.db.models.deletion.CASCADE, to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'abstract': False,
                'base_manager_name': 'objects',
                'default_manager_name': 'objects',
            },
        ),
        migrations.AddConstraint(
            model_name='knowndevice',
            constraint=models.UniqueConstraint(fields=('tenant_id', 'key_digest', 'user'), name='device_known_once'),
        ),
        migrations.AddConstraint(
            model_name='authenticatorfailures',
            constraint=models.UniqueConstraint(condition=models.Q(('device__isnull', True)), fields=('tenant_id', 'user', 'authenticator'), name='authenticator_counted_once'),
        ),
        migrations.AddConstraint(
            model_name='authenticatorfailures',
            constraint=models.UniqueConstraint(condition=models.Q(('device__isnull', False)), fields=('tenant_id', 'device', 'authenticator'), name='authenticator_counted_once_a_device'),
        ),
        migrations.AddConstraint(
            model_name='roleassignment',
            constraint=models.UniqueConstraint(fields=('tenant_id', 'user', 'role'), name='role_given_once'),
        ),
        ProtectTenantTables('User', 'RoleAssignment', 'Session', 'TOTPDevice', 'Invitation', 'KnownDevice', 'AuthenticatorFailures'),
    ]
